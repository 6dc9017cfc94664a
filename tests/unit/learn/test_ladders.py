"""Ladders: parameter counts as published, leaks at the rungs that have them, three steps of each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.one_thread import one_thread
from zeropoint.blueprint import catalog
from zeropoint.errors import BadInput, DiskError
from zeropoint.learn import ladder_results
from zeropoint.learn.ladder import Ladder, Reached, Stage
from zeropoint.learn.ladders import build_gpt, llama
from zeropoint.learn.llama_from_scratch import HONEST, PUBLISHED, Look, rms
from zeropoint.learn.run_ladder import chosen, climb, out_of_order
from zeropoint.models.decoder import Decoder
from zeropoint.train.config.config import read_config

__all__ = ["one_thread"]

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
    "no-mask": ["block.norm", "block.look.attention"],
    "rope-attention": ["block.norm"],
    "swiglu": ["block.norm"],
    "blocks": [f"blocks.{i}.norm" for i in range(4)],
    "cosine": [f"blocks.{i}.norm" for i in range(4)],
}


def three_steps(ladder: Ladder, name: str) -> Reached:
    (reached, *_) = climb(ladder, chosen(ladder, (name,)), IDS, 0, 3)
    return reached


@pytest.mark.parametrize("name", WEIGHTS)
def test_llama_runs_is_counted_and_leaks_where_it_was_published_so(name: str) -> None:
    reached = three_steps(llama.LADDER, name)
    assert reached.n_weights == WEIGHTS[name]
    leak = reached.leak
    assert ([] if leak is None else [leak.module, *leak.others]) == LEAKS.get(name, [])
    assert (reached.corrected is None) == (name in ("softmax-twice", "feed-forward", "no-mask"))
    assert reached.corrected_leak is None
    assert reached.n_unheld == (WEIGHTS[name] if name == "cosine" else 0)
    assert 3.5 < reached.ours < 5
    assert (reached.n_steps, reached.verdict) == (3, "not judged")


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
def test_build_gpt_runs_and_is_causal(name: str, n_weights: int) -> None:
    reached = three_steps(build_gpt.LADDER, name)
    assert reached.n_weights == n_weights
    assert reached.leak is None
    assert 3.5 < reached.ours < 5.5


def test_a_miswired_optimizer_leaves_the_model_as_it_was() -> None:
    rung = next(r for r in llama.LADDER.rungs if r.name == "cosine")
    rung = replace(rung, stages=(Stage(1, (4.2,), 1.0, n_batches=1), Stage(2, (4.2,), 1.0, n_batches=1)))
    first, last = climb(llama.LADDER, [rung], IDS, 0)
    assert first.ours == last.ours
    assert first.corrected != last.corrected


def test_a_rung_that_is_a_recipe_is_a_run_that_is_gone_on_with(tmp_path: Path) -> None:
    rung = next(r for r in build_gpt.LADDER.rungs if r.name == "full")
    for n_steps in (21, 22):
        rung = replace(rung, recipe="harbour", stages=(Stage(n_steps, (3.5,), 1.0),))
        (reached,) = climb(build_gpt.LADDER, [rung], IDS, 0, folder=tmp_path)
        assert (reached.n_steps, reached.verdict) == (n_steps, "holds")
    assert (tmp_path / "harbour" / "checkpoints" / "step-000022").is_dir()


def test_the_full_model_is_the_lectures() -> None:
    config = read_config("build-gpt")
    full = next(r for r in build_gpt.LADDER.rungs if r.name == "full")
    model = full.build()
    assert isinstance(model, Decoder)
    assert catalog.load(config.model.blueprint) == model.blueprint
    assert (config.train.steps, config.train.batch_size) == (full.stages[0].n_steps, full.training.n_rows)
    assert config.optimizer.learning_rate == full.training.optimizer(model).param_groups[0]["lr"]


def test_the_same_seed_gives_the_same_loss_and_another_another() -> None:
    rungs = chosen(llama.LADDER, ("no-mask",))
    losses = [next(climb(llama.LADDER, rungs, IDS, seed, 2)).ours for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_stages_are_one_training_gone_on_with() -> None:
    rung = next(r for r in build_gpt.LADDER.rungs if r.name == "bigram")
    whole = replace(rung, stages=(Stage(6, (4.6,), 1.0, n_batches=1),))
    parted = replace(rung, stages=(Stage(2, (4.6,), 1.0, n_batches=1), Stage(6, (4.6,), 1.0, n_batches=1)))
    (once,) = climb(build_gpt.LADDER, [whole], IDS, 0)
    *_, twice = climb(build_gpt.LADDER, [parted], IDS, 0)
    assert once.ours == twice.ours
    assert once.verdict == "holds"


def test_what_takes_long_is_left_out_unless_asked_for() -> None:
    def steps(names: tuple[str, ...], most: str) -> list[list[int]]:
        return [[s.n_steps for s in rung.stages] for rung in chosen(llama.LADDER, names, most)]  # type: ignore[arg-type]

    assert steps((), "seconds") == [[1000], [1000], [1000], [1000], [1000]]
    assert steps(("rope-attention", "blocks"), "minutes") == [[1000, 6000], [5000]]
    assert steps(("blocks",), "night") == [[5000, 15000, 25000]]
    assert steps(("blocks",), "seconds") == [[5000]]
    with pytest.raises(BadInput, match=r"unknown rung of the ladder llama `rmsnorm`.*closest: rms-norm"):
        chosen(llama.LADDER, ("rmsnorm",))


def reached(name: str, ours: float, *published: float, reason: str = "") -> Reached:
    rung = next(r for r in build_gpt.LADDER.rungs if r.name == name)
    stage = Stage(rung.stages[0].n_steps, published, 0.05, reason=reason)
    return Reached(rung, stage, stage.n_steps, ours, None, 1.0)


def test_verdicts() -> None:
    assert reached("head", 2.44, 2.40).verdict == "holds"
    assert reached("head", 2.46, 2.40).verdict == "differs"
    assert reached("head", 2.46, 2.40, 2.50).verdict == "holds"
    assert reached("head", 2.44, 2.40, reason="it leaks").verdict == "near"
    assert reached("head", 2.46, 2.40, reason="it leaks").verdict == "far"


def test_the_order_is_strict() -> None:
    climbed = [reached("bigram", 2.49, 2.49), reached("head", 2.40, 2.40), reached("multi-head", 2.40, 2.40)]
    assert out_of_order(build_gpt.LADDER, climbed) == [("head", "multi-head")]
    assert out_of_order(llama.LADDER, climbed) == []


def test_the_ledger_gets_a_line_each_time(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ladders.jsonl"
    for ours in (2.41, 2.52):
        ladder_results.append(path, ladder_results.entry(build_gpt.LADDER, reached("head", ours, 2.40), 7))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["verdict"] for line in lines] == ["holds", "differs"]
    assert lines[0] | {"date": "", "machine": {}, "version": "", "source": ""} == {
        "date": "", "version": "", "machine": {}, "seed": 7, "ladder": "build-gpt", "rung": "head",
        "n_steps": 5000, "n_batches": 200, "n_weights": 0, "published": [2.4], "tolerance": 0.05,
        "ours": 2.41, "corrected": None, "verdict": "holds", "reason": "", "leaks": [], "n_unheld": 0,
        "seconds": 1.0, "source": "",
    }  # fmt: skip
    assert set(lines[0]["machine"]) == {"processor", "device", "threads", "torch", "python"}


def test_a_line_that_was_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "ladders.jsonl"
    path.write_text('{"a": 1}\n{"b"')
    ladder_results.append(path, {"c": 3})
    assert path.read_text() == '{"a": 1}\n{"b"\n{"c": 3}\n'


def test_a_ledger_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=f"cannot use {tmp_path} "):
        ladder_results.append(tmp_path)


def test_the_published_norm_and_attention_are_what_the_article_computes() -> None:
    x_BTD = torch.randn(2, 5, 8)
    normed = rms(PUBLISHED, 16, 8)(x_BTD)
    assert torch.allclose(normed.square().mean((1, 2)), torch.ones(2), atol=1e-5)
    assert torch.allclose(rms(HONEST, 16, 8)(x_BTD).square().mean(2), torch.ones(2, 5), atol=1e-5)
    # The article's angle of the first pair at position 1 is 10000^(2/d); the right one is 1.
    early, right = (Look(f, 8, 1).attention.rotation for f in (PUBLISHED, HONEST))
    assert early is not None
    assert right is not None
    assert early.spec.frequencies()[0] == pytest.approx(10000 ** (2 / 8))
    assert right.spec.frequencies()[0] == 1


def test_the_articles_attention_drops_weights_after_training_too() -> None:
    x_BTD = torch.randn(1, 6, 8)
    for faults, is_steady in ((PUBLISHED, False), (HONEST, True)):
        look = Look(faults, 8, 2).eval()
        assert torch.equal(look(x_BTD), look(x_BTD)) == is_steady
