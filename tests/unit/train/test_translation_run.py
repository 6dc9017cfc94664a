"""Training on parallel text: resuming, refusing unsuitable models, and the recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.tiny_pairs import config, write_pairs
from zeropoint.decoding.translator import open_translator
from zeropoint.errors import BadInput
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.config.io import read_config
from zeropoint.train.report.report import next_commands
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import run


class Interrupted(Exception):
    pass


class InterruptAtStep8(Callback):
    def on_step(self, info: StepInfo) -> None:
        if info.step == 8:
            raise Interrupted


@pytest.mark.train
def test_a_resumed_run_reaches_the_same_weights(tmp_path: Path, one_thread: None) -> None:
    uninterrupted = config(write_pairs(tmp_path / "pairs"), 12)
    run(uninterrupted, tmp_path / "uninterrupted")
    first = replace(uninterrupted, train=replace(uninterrupted.train, checkpoint_every=6))
    with pytest.raises(Interrupted):
        run(first, tmp_path / "resumed", [InterruptAtStep8()])
    run(uninterrupted, tmp_path / "resumed", resume=True)
    names = ("resumed", "uninterrupted")
    resumed, expected = (open_translator(tmp_path / name, "latest") for name in names)
    for name, weight in expected.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight)


def test_a_model_without_an_encoder_is_refused(tmp_path: Path) -> None:
    pairs = config(write_pairs(tmp_path / "pairs"), 1)
    with pytest.raises(BadInput, match="no encoder"):
        prepare(replace(pairs, model=read_config("harbour").model))


def test_the_next_command_is_translate(trained_pairs: Path) -> None:
    assert next_commands(trained_pairs, trained_pairs)[0] == f'zeropoint translate {trained_pairs} "..."'


@pytest.mark.parametrize("name", ["multi30k", "multi30k-article"])
def test_the_translation_recipes_use_sinusoidal_positions(name: str) -> None:
    recipe = read_config(name)
    assert recipe.data.source == "multi30k"
    assert "sinusoidal" in recipe.model.blueprint
