"""A run on parallel text is gone on with, translates what it learnt, and shows where it looked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.tiny_pairs import PAIRS, config, write_pairs
from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.config.config import read_config
from zeropoint.train.report.report import uses
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import run
from zeropoint.train.run.translator import Translator, open_translator
from zeropoint.weights.run_checkpoint import steps_of


@pytest.fixture(scope="module")
def translator(trained_pairs: Path) -> Translator:
    return open_translator(trained_pairs)


@pytest.mark.parametrize("beam", [None, Beam(3)])
def test_what_was_learnt_is_said(translator: Translator, beam: Beam | None) -> None:
    sources, answers = zip(*PAIRS, strict=True)
    assert translator.translate(sources, beam) == list(answers)


def test_empty_lines_stay_where_they_are(translator: Translator) -> None:
    (source, answer), *_ = PAIRS
    assert translator.translate(["", source, " "]) == ["", answer, ""]
    assert translator.translate([]) == []


def test_a_text_longer_than_the_model_reads_is_refused(translator: Translator) -> None:
    with pytest.raises(BadInput, match="has 41 tokens and the model reads 32"):
        translator.translate(["Hund " * 40])


def test_every_layer_shows_where_it_looked(translator: Translator) -> None:
    source, answer = "Kein Vogel sieht ein Tier", "No bird sees a beast"
    maps = translator.attention(source, translator.coding.encode(answer))
    assert [(one.kind, one.layer) for one in maps] == [
        (kind, layer) for kind in ("encoder self", "decoder self", "decoder source") for layer in (0, 1)
    ]
    for one in maps:
        assert one.weights_HTS.shape == (2, len(one.queries), len(one.keys))
        torch.testing.assert_close(one.weights_HTS.sum(-1), torch.ones(2, len(one.queries)))
    across = maps[-1]
    assert across.queries == ("<s>", "No", "bird", "sees", "a", "beast")
    assert across.keys == ("Kein", "Vogel", "sieht", "ein", "Tier", "</s>")
    assert (maps[2].weights_HTS.triu(1) == 0).all()  # the decoder never looks ahead


def test_an_average_is_of_the_checkpoints_before(trained_pairs: Path) -> None:
    last, before = steps_of(trained_pairs)[:-3:-1]
    one, other, mean = (
        open_translator(trained_pairs, which, n) for which, n in ((last, 1), (before, 1), (last, 2))
    )
    for name, weight in mean.model.state_dict().items():
        theirs = [t.model.state_dict()[name] for t in (one, other)]
        torch.testing.assert_close(weight, (theirs[0] + theirs[1]) / 2)
    assert mean.name == f"run, mean of steps {before} to {last}"
    n = len([step for step in steps_of(trained_pairs) if step])
    with pytest.raises(BadInput, match=f"give 1 to {n}, or train with a larger train.keep"):
        open_translator(trained_pairs, "latest", n + 1)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no training run; make one: zeropoint train multi30k"):
        open_translator(tmp_path)


class Left(Exception):
    pass


class Leaver(Callback):
    def on_step(self, info: StepInfo) -> None:
        if info.step == 8:
            raise Left


def test_a_run_that_was_left_goes_on_to_the_same_weights(tmp_path: Path, one_thread: None) -> None:
    whole = config(write_pairs(tmp_path / "pairs"), 12)
    run(whole, tmp_path / "whole")
    first = replace(whole, train=replace(whole.train, checkpoint_every=6))
    with pytest.raises(Left):
        run(first, tmp_path / "left", [Leaver()])
    run(whole, tmp_path / "left", resume=True)
    ours, theirs = (open_translator(tmp_path / name, "latest") for name in ("left", "whole"))
    for name, weight in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], weight)


def test_a_model_without_an_encoder_is_refused(tmp_path: Path) -> None:
    made = config(write_pairs(tmp_path / "pairs"), 1)
    with pytest.raises(BadInput, match="no encoder"):
        prepare(replace(made, model=read_config("harbour").model))


def test_what_a_run_is_good_for_is_told(trained_pairs: Path) -> None:
    assert uses(trained_pairs, trained_pairs)[0] == f'zeropoint translate {trained_pairs} "..."'


@pytest.mark.parametrize("name", ["multi30k", "multi30k-article"])
def test_the_presets_are_of_the_2017_model(name: str) -> None:
    made = read_config(name)
    assert made.data.source == "multi30k"
    assert "sinusoidal" in made.model.blueprint
