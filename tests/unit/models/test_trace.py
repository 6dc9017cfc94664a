"""Tracing records exactly the taps that the blueprint lists, and leaves the module unchanged."""

from __future__ import annotations

import pytest
import torch

from tests.support.tiny_blueprints import DECODERS, SEQ2SEQS, TINY
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.taps import TapPoint, tap_points
from zeropoint.errors import BadInput
from zeropoint.layers.taps import observe
from zeropoint.models.build import build
from zeropoint.models.trace import trace

IDS, SOURCE = [5, 1, 60, 1, 3], [9, 8, 7]


@pytest.mark.parametrize("blueprint", TINY.values(), ids=TINY)
def test_trace_has_every_tap_in_the_listed_shape_and_order(blueprint: Blueprint) -> None:
    source = SOURCE if blueprint.encoder else []
    tensors = trace(build(blueprint), IDS, source)
    points = tap_points(blueprint, len(IDS), n_source=len(source))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        name: point.shape for name, point in points.items()
    }
    assert list(tensors) == list(points)


@pytest.mark.parametrize("blueprint", TINY.values(), ids=TINY)
def test_layers_record_each_tap_once(blueprint: Blueprint) -> None:
    source = SOURCE if blueprint.encoder else []
    points = tap_points(blueprint, len(IDS), n_source=len(source))
    recorded: list[str] = []
    observed = observe(build(blueprint), lambda name, tensor: recorded.append(name))
    observed(*([torch.tensor([source])] if source else []), torch.tensor([IDS]))
    assert sorted(name for name in recorded if name in points) == sorted(points)
    norms = {"embedding.norm", "embedding.per_layer_norm", "head.norm"}
    assert {name for name in recorded if name not in points} <= norms


def test_traced_tensors_are_those_of_the_forward_pass() -> None:
    module = build(DECODERS["llama"])
    tensors = trace(module, IDS)
    torch.testing.assert_close(tensors["logits"], module(torch.tensor([IDS]))[0])
    stream = tensors["blocks.0.after_attention"] + tensors["blocks.0.ffn.output"]
    torch.testing.assert_close(stream, tensors["blocks.0.after_ffn"])
    torch.testing.assert_close(
        tensors["blocks.1.attention.weights"], torch.softmax(tensors["blocks.1.attention.masked"], -1)
    )


def test_trace_runs_in_eval_mode_and_leaves_the_module_unchanged() -> None:
    module = build(DECODERS["gpt2"], dropout=0.5)
    assert torch.equal(trace(module, IDS)["logits"], trace(module, IDS)["logits"])
    assert module.training
    assert all(part.training for part in module.modules())


def test_trace_records_only_the_requested_taps() -> None:
    module = build(DECODERS["llama"])
    assert list(trace(module, IDS, points=["logits", "blocks.0.ffn.gate"])) == ["blocks.0.ffn.gate", "logits"]
    with pytest.raises(BadInput, match=r"unknown tap `blocks\.0\.ffn\.gat`; .*closest: blocks\.0\.ffn\.gate"):
        trace(module, IDS, points=["blocks.0.ffn.gat"])


def test_trace_needs_tokens_and_a_source() -> None:
    with pytest.raises(BadInput, match="at least one token"):
        trace(build(DECODERS["llama"]), [])
    with pytest.raises(BadInput, match="give source_ids"):
        trace(build(SEQ2SEQS["t5"]), IDS)


def test_tap_shapes_with_a_cache_and_a_source() -> None:
    points = tap_points(DECODERS["llama"], 2, n_past=5)
    assert points["blocks.0.attention.scores"] == TapPoint("HTS", (4, 2, 7))
    assert points["blocks.0.attention.key"] == TapPoint("NTK", (2, 2, 8))
    assert points["blocks.0.ffn.hidden"] == TapPoint("TF", (2, 48))
    with_source = tap_points(SEQ2SEQS["t5"], 2, n_source=3)
    assert with_source["blocks.0.cross_attention.weights"] == TapPoint("HTC", (4, 2, 3))
    assert with_source["encoder.1.attention.weights"] == TapPoint("HCC", (4, 3, 3))
