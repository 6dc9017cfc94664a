"""Taps: the blueprint names what a run shows, and a run shows what the blueprint names."""

from __future__ import annotations

import pytest
import torch

from tests.support.tiny_blueprints import DECODERS, SEQ2SEQS, TINY
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.taps import TapPoint, tap_points
from zeropoint.errors import BadInput
from zeropoint.models.build import build
from zeropoint.models.trace import trace

IDS, SOURCE = [5, 1, 60, 1, 3], [9, 8, 7]


@pytest.mark.parametrize("blueprint", TINY.values(), ids=TINY)
def test_a_trace_has_every_tap_in_its_shape_and_order(blueprint: Blueprint) -> None:
    source = SOURCE if blueprint.encoder else []
    seen: list[str] = []
    module = build(blueprint)
    got = trace(module, IDS, source)
    want = tap_points(blueprint, len(IDS), n_source=len(source))
    assert {name: tuple(tensor.shape) for name, tensor in got.items()} == {
        n: t.shape for n, t in want.items()
    }
    ids = torch.tensor([IDS])
    module(*([torch.tensor([source]), ids] if source else [ids]), see=lambda name, _: seen.append(name))
    # An encoder-decoder makes cross-attention's keys and values of all blocks before the first block.
    inner = [name for name in seen if ".cross_attention." not in name and name != "head.output"]
    assert inner == [name for name in want if ".cross_attention." not in name]


def test_a_trace_is_the_run() -> None:
    module = build(DECODERS["llama"])
    got = trace(module, IDS)
    torch.testing.assert_close(got["logits"], module(torch.tensor([IDS]))[0])
    stream = got["blocks.0.after_attention"] + got["blocks.0.ffn.output"]
    torch.testing.assert_close(stream, got["blocks.0.after_ffn"])
    torch.testing.assert_close(
        got["blocks.1.attention.weights"], torch.softmax(got["blocks.1.attention.masked"], -1)
    )


def test_a_trace_leaves_the_module_as_it_was() -> None:
    module = build(DECODERS["gpt2"], dropout=0.5)
    assert torch.equal(trace(module, IDS)["logits"], trace(module, IDS)["logits"])
    assert module.training


def test_chosen_points_alone() -> None:
    module = build(DECODERS["llama"])
    assert list(trace(module, IDS, points=["logits", "blocks.0.ffn.gate"])) == ["blocks.0.ffn.gate", "logits"]
    with pytest.raises(BadInput, match=r"unknown tap `blocks\.0\.ffn\.gat`; .*closest: blocks\.0\.ffn\.gate"):
        trace(module, IDS, points=["blocks.0.ffn.gat"])


def test_nothing_to_trace() -> None:
    with pytest.raises(BadInput, match="at least one token"):
        trace(build(DECODERS["llama"]), [])
    with pytest.raises(BadInput, match="give source_ids"):
        trace(build(SEQ2SEQS["t5"]), IDS)


def test_axes_with_a_cache() -> None:
    points = tap_points(DECODERS["llama"], 2, n_past=5)
    assert points["blocks.0.attention.scores"] == TapPoint("HTS", (4, 2, 7))
    assert points["blocks.0.attention.key"] == TapPoint("NTK", (2, 2, 8))
    assert points["blocks.0.ffn.hidden"] == TapPoint("TF", (2, 48))
    crossing = tap_points(SEQ2SEQS["t5"], 2, n_source=3)
    assert crossing["blocks.0.cross_attention.weights"] == TapPoint("HTC", (4, 2, 3))
    assert crossing["encoder.1.attention.weights"] == TapPoint("HCC", (4, 3, 3))
