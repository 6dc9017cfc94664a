"""The benchmark of training speed: both sides run and are evaluated alike.

The baseline is nanoGPT's model.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from zeropoint.blueprint import catalog
from zeropoint.models.build import build

BENCHES = Path(__file__).parents[3] / "benches"


class Direct:
    """A side in this process, with the interface of `Worker`."""

    def __init__(self, side: Any) -> None:
        self.side, self.about = side, side.about()

    def call(self, method: str, *arguments: object) -> Any:
        return getattr(self.side, method)(*arguments)


@pytest.fixture
def bench(monkeypatch) -> Iterator[ModuleType]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHES))
    yield importlib.import_module("train_speed")
    for name in set(sys.modules) - before:
        if str(BENCHES) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def text(tmp_path) -> str:
    path = tmp_path / "text.txt"
    path.write_text((files("zeropoint.data") / "harbour.txt").read_text("utf-8")[:20_000], "utf-8")
    return str(path)


def open_sides(bench: ModuleType, text: str, recipe: str) -> dict[str, Any]:
    n = torch.get_num_threads()
    ours = bench.TrainOptions(text, n, 4, recipe=recipe)
    return {
        name: importlib.import_module(f"sides.{name}").open_side(options)
        for name, options in ((bench.OURS, ours), (bench.PEER, bench.TrainOptions(text, n, 4)))
    }


@pytest.mark.train
def test_both_sides_train_and_are_evaluated(bench, text):
    for side in open_sides(bench, text, bench.BEST).values():
        race = bench.Race("side", target=1e-9, n_steps=3, every=2, about=side.about())
        worker = Direct(side)
        first = side.validate()
        while not race.is_over:
            race.turn(worker)
        assert [step for step, _, _ in race.losses] == [2, 3]
        assert race.losses[-1][2] < first
        assert race.seconds > 0
        assert not race.has_arrived


def test_both_sides_split_the_text_equally(bench, text):
    ours = open_sides(bench, text, bench.SAME)[bench.OURS]
    train_ids, held, n_vocab = importlib.import_module("training").characters(text)
    assert ours.prepared.blueprint.n_vocab == n_vocab
    assert (ours.prepared.validation.ids == held).all()
    assert (ours.prepared.training.ids == train_ids).all()


def test_the_baseline_is_the_tiny_gpt_of_the_catalog(bench):
    """Its loss equals that of our tiny-gpt with the same weights."""
    theirs = importlib.import_module("sides.nano_gpt").GPT(65)
    ours = build(catalog.load("tiny-gpt"), seed=3)
    state = theirs.state_dict()
    weights = dict(ours.named_parameters())
    for name, stored in state.items():
        stored.copy_(torch.cat([weights[n] for n in names_of(name)]))
    ids = torch.randint(65, (2, 64), generator=torch.Generator().manual_seed(0))
    target = ids.roll(-1, 1)
    expected = torch.nn.functional.cross_entropy(ours(ids).flatten(0, 1), target.flatten())
    torch.testing.assert_close(theirs(ids, target), expected)
    assert sum(p.numel() for p in theirs.parameters()) == 804_096


def names_of(name: str) -> list[str]:
    """Our tensors that correspond to one tensor of the baseline."""
    whole = {
        "token.weight": "embedding.weight",
        "head.weight": "embedding.weight",
        "position.weight": "embedding.position.weight",
        "norm.weight": "final_norm.weight",
    }
    if name in whole:
        return [whole[name]]
    _, i, part, _ = name.split(".")
    parts = {
        "query_key_value": ["attention.query", "attention.key", "attention.value"],
        "output": ["attention.output"],
        "up": ["ffn.up"],
        "down": ["ffn.down"],
    }
    return [f"blocks.{i}.{p}.weight" for p in parts.get(part, [part])]
