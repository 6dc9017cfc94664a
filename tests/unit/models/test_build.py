"""A module is its blueprint: parameters by name and shape, first weights by seed, weights in and out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny_blueprints import DECODERS, SEQ2SEQS, TINY
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.check import problems
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadModelFile
from zeropoint.layers.dropout import Dropout
from zeropoint.models.build import build, load, weights_of
from zeropoint.models.initialize import initialize

every_model = pytest.mark.parametrize("blueprint", TINY.values(), ids=TINY)


@every_model
def test_parameters_are_those_of_the_blueprint(blueprint: Blueprint) -> None:
    module = build(blueprint)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == parameters(blueprint)
    assert sum(p.numel() for p in module.parameters()) == count_parameters(blueprint)
    assert not list(module.named_buffers())


@every_model
def test_the_tiny_blueprints_are_sound(blueprint: Blueprint) -> None:
    if blueprint.family != "handmade":  # a model by hand needs no norm, which the rules ask of trained ones
        assert list(problems(blueprint)) == []


@every_model
def test_a_seed_gives_the_same_weights_and_leaves_the_callers_draws_alone(blueprint: Blueprint) -> None:
    torch.manual_seed(1)
    want = torch.rand(1)
    torch.manual_seed(1)
    first, second, other = build(blueprint, seed=3), build(blueprint, seed=3), build(blueprint, seed=4)
    assert torch.equal(torch.rand(1), want)
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


@every_model
def test_weights_come_out_as_they_went_in(blueprint: Blueprint) -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape) for name, shape in parameters(blueprint).items()}
    module = build(blueprint, seed=None)
    load(module, weights)
    for name, array in weights_of(module).items():
        np.testing.assert_array_equal(array, weights[name].astype(np.float32))


def test_weights_that_do_not_fit_are_named() -> None:
    module = build(DECODERS["llama"])
    before = module.embedding.weight.clone()
    weights = weights_of(build(DECODERS["llama"], seed=1))
    with pytest.raises(BadModelFile, match=r"^a\.gguf: no tensor for blocks\.1\.ffn\.up\.weight, which"):
        load(module, {k: v for k, v in weights.items() if k != "blocks.1.ffn.up.weight"}, "a.gguf")
    with pytest.raises(BadModelFile, match=r"no place for blocks\.2\.x"):
        load(module, {**weights, "blocks.2.x": weights["final_norm.weight"]})
    with pytest.raises(BadModelFile, match=r" and 17 more, which the blueprint has"):
        load(module, {})
    assert torch.equal(module.embedding.weight, before)
    with pytest.raises(BadModelFile, match=r"final_norm\.weight is \(5,\); the blueprint has \(32,\)"):
        load(module, {**weights, "final_norm.weight": np.zeros(5)})


def test_first_weights_of_gpt2() -> None:
    module = build(DECODERS["gpt2"])
    first = dict(module.named_parameters())
    assert first["embedding.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert first["blocks.0.ffn.up.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert first["blocks.1.ffn.down.weight"].std().item() == pytest.approx(0.02 / math.sqrt(4), rel=0.1)
    assert first["blocks.0.attention.output.weight"].std().item() == pytest.approx(0.01, rel=0.1)
    assert (first["final_norm.weight"] == 1).all()
    assert all((p == 0).all() for name, p in first.items() if name.endswith("bias"))


def test_first_gain_of_an_offset_norm_is_stored_as_zero() -> None:
    assert (build(DECODERS["gemma2"]).get_parameter("final_norm.weight") == 0).all()


def test_first_weights_of_2017() -> None:
    module = build(SEQ2SEQS["transformer"])
    up = module.get_parameter("encoder.0.ffn.up.weight")
    bound = math.sqrt(6 / (32 + 48))
    assert up.abs().max().item() == pytest.approx(bound, rel=0.02)
    assert up.abs().max() <= bound
    initialize(module, 0, "normal")
    third = 0.02 / math.sqrt(3 * 2)
    written = module.get_parameter("blocks.0.cross_attention.output.weight")
    assert written.std().item() == pytest.approx(third, rel=0.1)


@pytest.mark.parametrize("kind", ["dropout", "attention_dropout"])
@pytest.mark.parametrize("name", ["gpt2", "transformer"])
def test_dropout_acts_while_training_only(name: str, kind: Any) -> None:
    module = build(TINY[name], **{kind: 0.5})
    ids = [torch.tensor([[1, 2, 3]])] * (2 if name == "transformer" else 1)
    assert not torch.equal(module(*ids), module(*ids))
    module.eval()
    assert torch.equal(module(*ids), module(*ids))


def test_every_attention_is_given_its_dropout_and_nothing_else_is() -> None:
    module = build(SEQ2SEQS["transformer"], dropout=0.1, attention_dropout=0.2)
    found = {name: part.p for name, part in module.named_modules() if isinstance(part, Dropout)}
    assert {name for name, p in found.items() if p == 0.2} == {n for n in found if "attention.dropout" in n}
    assert {p for n, p in found.items() if "attention" not in n} == {0.1}
    assert sum("cross_attention" in n for n in found) == len(module.blocks)
