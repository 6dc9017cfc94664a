"""Ladders: published parameter counts, leaks in the rungs that have them, a few steps of every rung."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from zeropoint.blueprint import catalog
from zeropoint.errors import BadInput, DiskError
from zeropoint.learn.ladders import results as results_file
from zeropoint.learn.ladders.ladder import Ladder, Rung, Stage, StageResult
from zeropoint.learn.ladders.published import build_gpt, llama
from zeropoint.learn.ladders.run_ladder import out_of_order, run_ladder, select_rungs
from zeropoint.learn.llama_from_scratch import CORRECTED, PUBLISHED, RotaryAttention, make_norm
from zeropoint.models.decoder import Decoder
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo
from zeropoint.train.config.io import read_config

IDS = np.random.default_rng(0).integers(0, 65, 3000)
IDS[[10, -10, -400]] = 64
WEIGHTS = {
    # Kitano's notebook prints these.
    "softmax-twice": 33_217,
    "feed-forward": 33_217,
    "rms-norm": 35_265,
    "no-mask": 559_681,
    "rope-attention": 559_681,
    "swiglu": 592_706,
    "blocks": 2_370_246,
    "cosine": 2_370_246,
}
LEAKS = {
    "rms-norm": ["norm"],
    "no-mask": ["block.norm", "block.attention.attention"],
    "rope-attention": ["block.norm"],
    "swiglu": ["block.norm"],
    "blocks": [f"blocks.{i}.norm" for i in range(4)],
    "cosine": [f"blocks.{i}.norm" for i in range(4)],
}


def rung(ladder: Ladder, name: str) -> Rung:
    return next(rung for rung in ladder.rungs if rung.name == name)


def three_steps(ladder: Ladder, name: str) -> StageResult:
    (result, *_) = run_ladder(ladder, select_rungs(ladder, (name,)), IDS, 0, 3)
    return result


@pytest.mark.train
@pytest.mark.parametrize("name", WEIGHTS)
def test_llama_rungs_have_the_published_parameter_counts_and_leaks(name: str) -> None:
    result = three_steps(llama.LADDER, name)
    assert result.n_weights == WEIGHTS[name]
    leak = result.leak
    assert ([] if leak is None else [leak.module, *leak.others]) == LEAKS.get(name, [])
    assert (result.corrected is None) == (name in ("softmax-twice", "feed-forward", "no-mask"))
    assert result.corrected_leak is None
    assert result.n_not_optimized == (WEIGHTS[name] if name == "cosine" else 0)
    assert 3.5 < result.ours < 5
    assert (result.n_steps, result.verdict) == (3, "not judged")


@pytest.mark.parametrize(
    ("name", "n_weights"),
    [
        ("bigram", 4_225),
        ("head", 7_553),
        ("multi-head", 7_553),
        ("feed-forward", 8_609),
        ("residual", 41_921),
        ("layer-norm", 42_369),
    ],
)
def test_build_gpt_rungs_train_and_are_causal(name: str, n_weights: int) -> None:
    result = three_steps(build_gpt.LADDER, name)
    assert result.n_weights == n_weights
    assert result.leak is None
    assert 3.5 < result.ours < 5.5


@pytest.mark.train
def test_a_stale_optimizer_never_changes_the_model() -> None:
    stages = (Stage(1, (4.2,), 1.0, n_batches=1), Stage(2, (4.2,), 1.0, n_batches=1))
    first, last = run_ladder(llama.LADDER, [replace(rung(llama.LADDER, "cosine"), stages=stages)], IDS, 0)
    assert first.ours == last.ours
    assert first.corrected != last.corrected


@pytest.mark.train
def test_a_rung_with_a_recipe_resumes_its_run_and_reports_the_best_validation_loss(tmp_path: Path) -> None:
    class RecordLosses(Callback):
        losses: ClassVar[list[float]] = []

        def on_eval(self, info: EvalInfo) -> None:
            self.losses.append(info.validation_loss)

    def train_to(n_steps: int, published: float) -> StageResult:
        stage = Stage(n_steps, (published,), 0.2)
        full = replace(rung(build_gpt.LADDER, "full"), recipe="harbour", stages=(stage,))
        callbacks = (RecordLosses(),)
        (result,) = run_ladder(build_gpt.LADDER, [full], IDS, 0, folder=tmp_path, callbacks=callbacks)
        assert result.n_steps == n_steps
        assert result.ours == min(RecordLosses.losses)
        return result

    first = train_to(21, 0.0)
    assert first.verdict == "differs"
    assert train_to(22, first.ours).verdict == "holds"
    assert len(RecordLosses.losses) == 3  # before training, after steps 21 and 22: the run was resumed


def test_the_full_rung_matches_its_preset() -> None:
    config = read_config("build-gpt")
    full = rung(build_gpt.LADDER, "full")
    model = full.build()
    assert isinstance(model, Decoder)
    assert catalog.load(config.model.blueprint) == model.blueprint
    assert (config.train.steps, config.train.batch_size) == (full.stages[0].n_steps, full.training.batch_size)
    assert config.optimizer.learning_rate == full.training.optimizer(model).param_groups[0]["lr"]


@pytest.mark.train
def test_a_seed_reproduces_the_loss() -> None:
    rungs = select_rungs(llama.LADDER, ("no-mask",))
    losses = [next(run_ladder(llama.LADDER, rungs, IDS, seed, 2)).ours for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_a_stage_continues_the_training_of_the_previous_one() -> None:
    bigram = rung(build_gpt.LADDER, "bigram")
    early, late = (Stage(n_steps, (4.6,), 1.0, n_batches=1) for n_steps in (2, 6))
    (direct,) = run_ladder(build_gpt.LADDER, [replace(bigram, stages=(late,))], IDS, 0)
    first, second = run_ladder(build_gpt.LADDER, [replace(bigram, stages=(early, late))], IDS, 0)
    assert first.ours != second.ours == direct.ours


def test_expensive_stages_are_selected_only_on_request() -> None:
    def steps(names: tuple[str, ...], max_cost: str) -> list[list[int]]:
        return [[s.n_steps for s in rung.stages] for rung in select_rungs(llama.LADDER, names, max_cost)]  # type: ignore[arg-type]

    assert steps((), "seconds") == [[1000], [1000], [1000], [1000], [1000]]
    assert steps(("rope-attention", "blocks"), "minutes") == [[1000, 6000], [5000]]
    assert steps(("blocks",), "night") == [[5000, 15000, 25000]]
    assert steps(("blocks",), "seconds") == [[5000]]
    with pytest.raises(BadInput, match=r"unknown rung of the ladder llama `rmsnorm`.*closest: rms-norm"):
        select_rungs(llama.LADDER, ("rmsnorm",))


def result(name: str, ours: float, *published: float, reason: str = "") -> StageResult:
    head = rung(build_gpt.LADDER, name)
    stage = Stage(head.stages[0].n_steps, published, 0.05, reason=reason)
    return StageResult(head, stage, stage.n_steps, ours, None, 1.0)


def test_verdicts() -> None:
    assert result("head", 2.44, 2.40).verdict == "holds"
    assert result("head", 2.46, 2.40).verdict == "differs"
    assert result("head", 2.46, 2.40, 2.50).verdict == "holds"
    assert result("head", 2.44, 2.40, reason="it leaks").verdict == "near"
    assert result("head", 2.46, 2.40, reason="it leaks").verdict == "far"


def test_losses_must_strictly_decrease() -> None:
    results = [result("bigram", 2.49, 2.49), result("head", 2.40, 2.40), result("multi-head", 2.40, 2.40)]
    assert out_of_order(build_gpt.LADDER, results) == [("head", "multi-head")]
    assert out_of_order(llama.LADDER, results) == []


def test_each_result_appends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ladders.jsonl"
    for ours in (2.41, 2.52):
        results_file.append(path, results_file.entry(build_gpt.LADDER, result("head", ours, 2.40), 7))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["holds", "differs"]
    assert lines[0] | {"date": "", "machine": {}, "version": "", "source": ""} == {
        "date": "", "version": "", "machine": {}, "seed": 7, "ladder": "build-gpt", "rung": "head",
        "steps": 5000, "evaluation_batches": 200, "parameters": 0, "published": [2.4], "tolerance": 0.05,
        "ours": 2.41, "corrected": None, "verdict": "holds", "reason": "", "leaks": [],
        "parameters_not_optimized": 0, "seconds": 1.0, "source": "",
    }  # fmt: skip
    assert set(lines[0]["machine"]) == {"processor", "device", "threads", "torch", "python"}


def test_a_truncated_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ladders.jsonl"
    path.write_text('{"a": 1}\n{"b"')
    results_file.append(path, {"c": 3})
    assert path.read_text() == '{"a": 1}\n{"b"\n{"c": 3}\n'


def test_an_unwritable_results_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=f"cannot use {tmp_path} "):
        results_file.append(tmp_path)


def test_the_published_norm_and_rotation_match_the_article() -> None:
    x_BTD = torch.randn(2, 5, 8)
    normalized = make_norm(PUBLISHED, 16, 8)(x_BTD)
    assert torch.allclose(normalized.square().mean((1, 2)), torch.ones(2), atol=1e-5)
    assert torch.allclose(make_norm(CORRECTED, 16, 8)(x_BTD).square().mean(2), torch.ones(2, 5), atol=1e-5)
    # The article rotates the first pair by 10000^(2/d) per position; the correct angle is 1.
    published, corrected = (RotaryAttention(b, 8, 1).attention.rotary for b in (PUBLISHED, CORRECTED))
    assert published is not None
    assert corrected is not None
    assert published.spec.frequencies()[0] == pytest.approx(10000 ** (2 / 8))
    assert corrected.spec.frequencies()[0] == 1


def test_the_published_attention_applies_dropout_in_eval_mode() -> None:
    x_BTD = torch.randn(1, 6, 8)
    for bugs, is_deterministic in ((PUBLISHED, False), (CORRECTED, True)):
        attention = RotaryAttention(bugs, 8, 2).eval()
        assert torch.equal(attention(x_BTD), attention(x_BTD)) == is_deterministic
