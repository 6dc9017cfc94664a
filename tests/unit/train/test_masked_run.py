"""Masked language modeling: a bidirectional model learns; a causal one is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.one_thread import one_thread
from zeropoint.errors import BadInput
from zeropoint.train.config.config import ModelConfig, RunConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import run

__all__ = ["one_thread"]


def config() -> RunConfig:
    return read_config("shakespeare-masked", [
        "data.source=harbour", "train.steps=25", "schedule.warmup_steps=5", "eval.every=0",
        "eval.n_batches=1",
    ])  # fmt: skip


@pytest.mark.train
def test_a_masked_model_learns_and_has_an_embedding_for_the_mask(tmp_path: Path) -> None:
    prepared = prepare(config())
    assert prepared.blueprint.n_vocab == prepared.tokenizer.n_vocab + 1
    result = run(config(), tmp_path / "run")
    assert result.validation_loss is not None
    assert result.validation_loss < 3.5  # 4.1 before the first step


def test_a_causal_model_is_refused() -> None:
    with pytest.raises(BadInput, match="the model is causal"):
        prepare(replace(config(), model=read_config("harbour").model))


@pytest.mark.parametrize("name", ["bert-base", "t5-small"])
def test_next_token_refuses_bidirectional_models(name: str) -> None:
    with pytest.raises(BadInput, match="the model is not a decoder, and next_token predicts"):
        prepare(replace(read_config("harbour"), model=ModelConfig(blueprint=name)))
