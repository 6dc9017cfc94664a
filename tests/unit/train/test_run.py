"""A training run: its folder, repeatability, resuming, and the ways it can end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.tiny_training import TINY, Recorder, with_train
from zeropoint.data.batches import RandomWindows
from zeropoint.models.decoder import Decoder
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
)
from zeropoint.train.config.io import read_config
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.optim.muon import Muon
from zeropoint.train.run import prepare
from zeropoint.train.run.run import run
from zeropoint.train.schedules.constant import Constant


def test_a_run_folder_is_complete(folder: Path) -> None:
    recorder, folder = Recorder(), folder / "run"
    result = run(replace(TINY, sample=SampleConfig(every=6, n_tokens=5)), folder, [recorder])
    assert [info.step for info in recorder.steps] == [1, 2, 3, 4, 5, 6]
    assert [info.step for info in recorder.evals] == [0, 3, 6]
    assert recorder.evals[0].validation_loss == pytest.approx(
        math.log(62), abs=0.3
    )  # an untrained model is uniform
    assert recorder.steps[0].near_zero.keys() == recorder.steps[2].near_zero.keys() != set()
    assert recorder.steps[1].near_zero == {}
    assert recorder.steps[-1].n_tokens == result.n_tokens == 6 * 4 * 16
    assert len(recorder.samples[0]) == 1 + 5
    assert recorder.ends == [result]
    assert (result.stopped_by, result.exit_code) == ("steps", 0)
    assert read_config(folder / "config.toml") == replace(TINY, sample=SampleConfig(every=6, n_tokens=5))
    assert (folder / "latest").read_text() == "step-000006\n"
    assert (
        checkpoint.resolve_pointer(folder, "best") == folder / "checkpoints" / f"step-{result.best_step:06d}"
    )
    facts = json.loads((folder / "run.json").read_text())
    assert len(facts["data_sha256"]["harbour"]) == 64
    assert {path.name for path in folder.iterdir()} == {
        "best", "blueprint.toml", "checkpoints", "config.toml", "latest", "lock", "run.json",
        "tokenizer.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, model=replace(TINY.model, dropout=0.1, attention_dropout=0.1)),
        with_train(TINY, ema_decay=0.9, accumulation_steps=2),
        replace(TINY, optimizer=Muon()),
        replace(TINY, data=DataConfig(order="epochs", tokenizer="bpe", n_vocab=300)),
    ],
    ids=["dropout", "ema", "muon", "epochs"],
)
def test_a_run_repeats_bit_for_bit(folder: Path, config: RunConfig) -> None:
    first, again = Recorder(), Recorder()
    run(config, folder / "first", [first])
    run(config, folder / "again", [again])
    assert again.losses == first.losses
    assert [info.validation_loss for info in again.evals] == [info.validation_loss for info in first.evals]
    other = Recorder()
    run(with_train(config, seed=7), folder / "other", [other])
    assert other.losses != first.losses


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_resumed_run_matches_an_uninterrupted_one(folder: Path, dropout: float) -> None:
    model = replace(TINY.model, dropout=dropout, attention_dropout=dropout)
    config = replace(TINY, schedule=Constant(), model=model)
    uninterrupted, resumed = Recorder(), Recorder()
    run(config, folder / "uninterrupted", [uninterrupted])
    run(with_train(config, steps=4), folder / "resumed", [resumed])
    run(config, folder / "resumed", [resumed], resume=True)
    assert resumed.losses == uninterrupted.losses
    assert "train.steps is 6 from step 5 on (it was 4)" in resumed.notices
    path = "checkpoints/step-000006/weights.safetensors"
    assert (folder / "resumed" / path).read_bytes() == (folder / "uninterrupted" / path).read_bytes()
    facts = json.loads((folder / "resumed/run.json").read_text())
    assert [part["first_step"] for part in facts["parts"]] == [0, 4]


def test_auto_precision_is_resolved_in_the_saved_configuration(folder: Path) -> None:
    run(with_train(TINY, precision="auto"), folder / "run")
    assert read_config(folder / "run/config.toml").train.precision in ("float32", "bfloat16")


def test_gradient_checkpointing_and_accumulation_do_not_change_the_losses(folder: Path) -> None:
    plain, sparing = Recorder(), Recorder()
    run(TINY, folder / "plain", [plain])
    spare = replace(
        with_train(TINY, accumulation_steps=4), model=replace(TINY.model, gradient_checkpointing=True)
    )
    run(spare, folder / "sparing", [sparing])
    assert sparing.losses == pytest.approx(plain.losses, rel=1e-5)


def test_gradient_checkpointing_repeats_dropout_and_dropout_may_change_on_resume(folder: Path) -> None:
    plain, again = Recorder(), Recorder()
    config = replace(TINY, model=replace(TINY.model, dropout=0.2, attention_dropout=0.2))
    run(config, folder / "plain", [plain])
    recomputed = replace(config, model=replace(config.model, gradient_checkpointing=True))
    run(recomputed, folder / "again", [again])
    assert again.losses == plain.losses
    model = replace(recomputed.model, attention_dropout=0.0)
    run(with_train(replace(config, model=model), steps=7), folder / "again", [again], resume=True)
    assert "model.attention_dropout is 0.0 from step 7 on (it was 0.2)" in again.notices


def test_the_checkpoint_holds_the_moving_average_and_the_raw_weights(folder: Path) -> None:
    run(with_train(TINY, ema_decay=0.5), folder / "run")
    saved, _ = checkpoint.load_newest(folder / "run")
    assert saved.raw is not None
    assert saved.raw.keys() == saved.weights.keys()
    assert not torch.equal(saved.raw["embedding.weight"], saved.weights["embedding.weight"])


def test_early_stopping_and_time_budget_end_a_run(folder: Path) -> None:
    still = replace(
        with_train(TINY, steps=50, early_stopping_patience=2), optimizer=AdamW(learning_rate=1e-30)
    )
    assert (result := run(still, folder / "still")).stopped_by == "early_stopping"
    assert (result.step, result.best_step) == (6, 0)
    short = run(with_train(TINY, steps=10**6, time_budget="0.2s"), folder / "short")
    assert short.stopped_by == "time"
    assert checkpoint.load_newest(folder / "short")[0].state.step == short.step


def test_only_the_newest_and_the_best_checkpoints_stay(folder: Path) -> None:
    still = replace(with_train(TINY, steps=9), optimizer=AdamW(learning_rate=1e-30))
    run(still, folder / "run")
    names = [path.name for path in checkpoint.list_checkpoints(folder / "run")]
    assert names == ["step-000009", "step-000008", "step-000000"]  # the untrained model is the best


def test_a_blueprint_takes_the_vocabulary_of_the_tokenizer(
    folder: Path,
) -> None:
    """The tokenizer's n_vocab replaces that of the blueprint, so no id is out of range."""
    config = replace(TINY, model=ModelConfig(blueprint="tiny-gpt"))
    prepared = prepare.prepare(config)
    assert prepared.blueprint.n_vocab == prepared.tokenizer.n_vocab == 62
    assert isinstance(prepared.training, RandomWindows)
    assert Decoder(prepared.blueprint).embedding.weight.shape[0] == 62
