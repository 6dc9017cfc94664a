"""A module matches its blueprint: parameter names and shapes, seeded initialization, loading weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.tiny_blueprints import DECODERS, SEQ2SEQS, TINY
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.check import problems
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.io import from_toml, to_toml
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadModelFile
from zeropoint.layers.dropout import Dropout
from zeropoint.models.build import build, load, weights_of
from zeropoint.models.initialize import initialize

every_model = pytest.mark.parametrize("blueprint", TINY.values(), ids=TINY)


@every_model
def test_parameters_match_the_blueprint(blueprint: Blueprint) -> None:
    module = build(blueprint)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == parameters(blueprint)
    assert sum(p.numel() for p in module.parameters()) == count_parameters(blueprint)
    assert not list(module.named_buffers())


def test_a_multi_token_prediction_layer_has_parameters_that_no_pass_uses() -> None:
    plain = TINY["qwen35"]
    blueprint = replace(plain, mtp=plain.blocks[1])
    module, without = build(blueprint).eval(), build(plain).eval()
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == parameters(blueprint)
    assert count_parameters(blueprint) == count_parameters(plain)
    assert from_toml(to_toml(blueprint)) == blueprint
    weights = weights_of(module)
    load(without, {name: array for name, array in weights.items() if not name.startswith("mtp.")})
    ids = torch.tensor([[3, 1, 4]])
    assert torch.equal(module(ids), without(ids))
    wrong = replace(blueprint, mtp=plain.blocks[1].with_attention(n_kv_heads=3))
    assert "mtp.attention.n_kv_heads is 3" in "; ".join(problems(wrong))
    assert "mtp is set" in "; ".join(problems(replace(TINY["bert"], mtp=plain.blocks[1])))


@every_model
def test_tiny_blueprints_follow_the_rules(blueprint: Blueprint) -> None:
    if blueprint.family != "handmade":  # a handmade model needs no norm
        assert list(problems(blueprint)) == []


@every_model
def test_seed_repeats_the_weights_without_touching_the_callers_generator(blueprint: Blueprint) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second, other = build(blueprint, seed=3), build(blueprint, seed=3), build(blueprint, seed=4)
    assert torch.equal(torch.rand(1), expected)
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


@every_model
def test_loaded_weights_can_be_read_back(blueprint: Blueprint) -> None:
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
    with pytest.raises(
        BadModelFile,
        match=r"^a\.gguf: no tensor for blocks\.1\.ffn\.up\.weight",
    ):
        load(module, {k: v for k, v in weights.items() if k != "blocks.1.ffn.up.weight"}, "a.gguf")
    with pytest.raises(BadModelFile, match=r"no parameter for blocks\.2\.x"):
        load(module, {**weights, "blocks.2.x": weights["final_norm.weight"]})
    with pytest.raises(BadModelFile, match=r" and 17 more, which the blueprint requires"):
        load(module, {})
    assert torch.equal(module.embedding.weight, before)
    with pytest.raises(BadModelFile, match=r"final_norm\.weight is \(5,\); the blueprint requires \(32,\)"):
        load(module, {**weights, "final_norm.weight": np.zeros(5)})


def test_gpt2_initialization() -> None:
    module = build(DECODERS["gpt2"])
    weights = dict(module.named_parameters())
    assert weights["embedding.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert weights["blocks.0.ffn.up.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert weights["blocks.1.ffn.down.weight"].std().item() == pytest.approx(0.02 / math.sqrt(4), rel=0.1)
    assert weights["blocks.0.attention.output.weight"].std().item() == pytest.approx(0.01, rel=0.1)
    assert (weights["final_norm.weight"] == 1).all()
    assert all((p == 0).all() for name, p in weights.items() if name.endswith("bias"))


def test_gain_of_an_offset_norm_starts_at_zero() -> None:
    assert (build(DECODERS["gemma2"]).get_parameter("final_norm.weight") == 0).all()


def test_xavier_initialization_of_the_2017_transformer() -> None:
    module = build(SEQ2SEQS["transformer"])
    up = module.get_parameter("encoder.0.ffn.up.weight")
    bound = math.sqrt(6 / (32 + 48))
    assert up.abs().max().item() == pytest.approx(bound, rel=0.02)
    assert up.abs().max() <= bound
    initialize(module, 0, "normal")
    std = 0.02 / math.sqrt(3 * 2)
    output = module.get_parameter("blocks.0.cross_attention.output.weight")
    assert output.std().item() == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize("kind", ["dropout", "attention_dropout"])
@pytest.mark.parametrize("name", ["gpt2", "transformer"])
def test_dropout_is_active_only_while_training(name: str, kind: Any) -> None:
    module = build(TINY[name], **{kind: 0.5})
    ids = [torch.tensor([[1, 2, 3]])] * (2 if name == "transformer" else 1)
    assert not torch.equal(module(*ids), module(*ids))
    module.eval()
    assert torch.equal(module(*ids), module(*ids))


def test_attention_dropout_applies_to_attention_weights_only() -> None:
    module = build(SEQ2SEQS["transformer"], dropout=0.1, attention_dropout=0.2)
    rates = {name: layer.p for name, layer in module.named_modules() if isinstance(layer, Dropout)}
    assert {name for name, p in rates.items() if p == 0.2} == {n for n in rates if "attention.dropout" in n}
    assert {p for n, p in rates.items() if "attention" not in n} == {0.1}
    assert sum("cross_attention" in n for n in rates) == len(module.blocks)
