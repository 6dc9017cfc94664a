"""Completion-only loss: the mean over completion tokens, also after a resume and on several workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tests.support import process_group
from tests.support.process_group import train_together
from zeropoint.data.batches import IGNORED
from zeropoint.errors import BadInput
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.config.config import DataConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from zeropoint.train.config.io import config_toml, read_config
from zeropoint.train.loop.loop import evaluate_loss
from zeropoint.train.objectives.masked_lm import MaskedLM
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.run.build_model import build_model
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import run
from zeropoint.train.schedules.constant import Constant


def config(folder: Path) -> RunConfig:
    file = folder / "sums.jsonl"
    records = [{"instruction": f"Add {n} to 1.", "output": f"It is {n + 1}."} for n in range(30)]
    file.write_text("\n".join(json.dumps(record) for record in records))
    return RunConfig(
        model=ModelConfig(n_layers=1, n_heads=2, d_model=16, n_ctx=40),
        data=DataConfig(str(file), order="epochs", loss="completion", validation=0.4),
        train=TrainConfig(steps=12, batch_size=6, checkpoint_every=6, device="cpu", check_causality=False),
        schedule=Constant(),
        eval=EvalConfig(every=0, n_batches=1),
    )


def test_the_loss_is_the_mean_over_completion_tokens(folder: Path) -> None:
    run_config = config(folder)
    prepared = prepare(run_config)
    model = build_model(run_config, prepared.blueprint, torch.device("cpu")).eval()
    ids_BT, next_BT, document_BT = map(torch.from_numpy, prepared.validation.batch(0))
    with torch.no_grad():
        said_BTV = torch.log_softmax(model(ids_BT, document_BT=document_BT), -1)
    losses = [
        -float(said_BTV[row, at, next_BT[row, at]]) for row, at in (next_BT != IGNORED).nonzero().tolist()
    ]
    assert len(losses) < next_BT.numel() / 2
    assert evaluate_loss(model, prepared.validation, NextToken(), 1) == pytest.approx(
        sum(losses) / len(losses)
    )


def test_packed_documents_do_not_affect_each_other(folder: Path) -> None:
    run_config = config(folder)
    prepared = prepare(run_config)
    model = build_model(run_config, prepared.blueprint, torch.device("cpu")).eval()
    batch = list(map(torch.from_numpy, prepared.training.batch(0)))
    assert (batch[2][:, -1] > 0).any()
    total, n_all = 0.0, NextToken().n_targets(*batch)
    for ids_T, next_T, document_T in zip(*batch, strict=True):
        for number in range(int(document_T[-1]) + 1):
            alone = [column_T[document_T == number][None] for column_T in (ids_T, next_T)]
            total += NextToken()(model, *alone).item() * NextToken().n_targets(*alone)
    assert NextToken()(model, *batch).item() == pytest.approx(total / n_all)


class Losses(Callback):
    """Records the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step(self, info: StepInfo) -> None:
        self.losses.append(info.loss)


def test_resuming_and_accumulation_do_not_change_the_losses(folder: Path) -> None:
    run_config, recorders = config(folder), [Losses() for _ in range(4)]
    run(run_config, folder / "uninterrupted", [recorders[0]])
    run(replace(run_config, train=replace(run_config.train, steps=6)), folder / "resumed", [recorders[1]])
    run(run_config, folder / "resumed", [recorders[2]], resume=True)
    assert recorders[1].losses + recorders[2].losses == recorders[0].losses
    run(
        replace(run_config, train=replace(run_config.train, accumulation_steps=6)),
        folder / "accumulated",
        [recorders[3]],
    )
    assert recorders[3].losses == pytest.approx(recorders[0].losses, rel=1e-5)


@pytest.mark.train
def test_two_workers_with_unequal_targets_match_one_process(folder: Path) -> None:
    run_config, recorder = config(folder), Losses()
    run_config = replace(
        run_config, train=replace(run_config.train, steps=4, accumulation_steps=3, threads=1)
    )
    file = folder / "run.toml"
    file.write_text(config_toml(run_config))
    run(
        replace(run_config, train=replace(run_config.train, accumulation_steps=1)), folder / "one", [recorder]
    )
    train_together([file], folder / "two", 2)
    assert list(process_group.losses(folder / "two").values()) == pytest.approx(recorder.losses, rel=1e-5)


def test_rows_without_targets_have_zero_loss() -> None:
    model, ids_BT = torch.nn.Embedding(5, 5), torch.tensor([[1, 2]])
    loss = NextToken()(model, ids_BT, torch.full((1, 2), IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert model.weight.grad is not None
    assert not model.weight.grad.any()


def test_without_ignored_targets_the_loss_is_the_plain_mean_bit_for_bit() -> None:
    torch.manual_seed(0)
    model, ids_BT, next_BT = torch.nn.Embedding(65, 65), *torch.randint(0, 65, (2, 12, 64))
    loss = NextToken()(model, ids_BT, next_BT)
    plain = F.cross_entropy(model(ids_BT).flatten(0, 1), next_BT.flatten())
    (gradient,), (expected,) = (torch.autograd.grad(one, model.parameters()) for one in (loss, plain))
    assert loss.item() == plain.item()
    assert torch.equal(gradient, expected)


def test_unsuitable_objectives_and_texts_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadInput, match=r"data\.loss is completion, which only some objectives support"):
        run(replace(config(folder), objective=MaskedLM()), tmp_path / "run")
    with pytest.raises(BadInput, match=r"harbour\.txt holds text that is no prompt with its answer"):
        prepare(read_config("harbour", ["data.loss=completion"]))


def test_the_instructions_recipe_uses_completion_loss() -> None:
    assert read_config("instructions").data.loss == "completion"
    assert read_config("harbour").data.loss == "all"
