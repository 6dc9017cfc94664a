"""Parameters, tensors and cache of known models, against their published numbers."""

from __future__ import annotations

import dataclasses
import math

from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.cost import cache_bytes, count_parameters, decode_flops
from zeropoint.blueprint.parts.attention import GroupedQueryAttention
from zeropoint.blueprint.parts.ffn import SwiGLU
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.blueprint.tensors import parameters


def llama(
    n_layers: int, d_model: int, n_heads: int, n_kv_heads: int, d_ff: int, n_vocab: int, *, tied: bool = False
) -> Blueprint:
    d_head = d_model // n_heads
    block = Block(
        GroupedQueryAttention(n_heads, n_kv_heads, d_head, Rope(10000.0, d_head)), SwiGLU(d_ff), RMSNorm(1e-5)
    )
    return Blueprint("llama", d_model, n_vocab, 2048, (block,) * n_layers, RMSNorm(1e-5), has_tied_head=tied)


SMOLLM2_135M = llama(30, 576, 9, 3, 1536, 49152, tied=True)
LLAMA_2_7B = llama(32, 4096, 32, 32, 11008, 32000)
LLAMA_3_8B = llama(32, 4096, 32, 8, 14336, 128256)


def test_published_parameter_counts() -> None:
    assert count_parameters(SMOLLM2_135M) == 134_515_008
    assert count_parameters(LLAMA_2_7B) == 6_738_415_616
    assert count_parameters(LLAMA_3_8B) == 8_030_261_248


def test_cache_holds_keys_and_values_of_every_layer() -> None:
    # Llama 2 7B takes half a MiB a token in half precision, Llama 3 8B a quarter of that.
    assert cache_bytes(LLAMA_2_7B, 1) == 512 * 1024
    assert cache_bytes(LLAMA_3_8B, 1) == 128 * 1024
    assert cache_bytes(SMOLLM2_135M, 8192) == 2 * 8192 * 30 * 3 * 64 * 2
    assert cache_bytes(SMOLLM2_135M, 10, element_bytes=4) == 2 * cache_bytes(SMOLLM2_135M, 10)
    assert cache_bytes(SMOLLM2_135M, 0) == 0


def test_operations_are_two_a_weight_and_more_with_the_context() -> None:
    norms = (2 * 30 + 1) * 576
    assert decode_flops(SMOLLM2_135M, 0) == 2 * (134_515_008 - norms)
    assert decode_flops(SMOLLM2_135M, 100) - decode_flops(SMOLLM2_135M, 0) == 4 * 100 * 30 * 576
    # The embedding of an untied model is looked up, not multiplied with.
    assert decode_flops(LLAMA_2_7B, 0) == 2 * (6_738_415_616 - 32000 * 4096 - (2 * 32 + 1) * 4096)


def test_every_tensor_has_its_name_and_shape() -> None:
    shapes = parameters(SMOLLM2_135M)
    assert len(shapes) == 2 + 9 * 30
    assert next(iter(shapes)) == "embedding.weight"
    assert list(shapes)[-1] == "final_norm.weight"
    assert shapes["blocks.29.attention.query.weight"] == (576, 576)
    assert shapes["blocks.29.attention.key.weight"] == (192, 576)
    assert shapes["blocks.0.attention.output.weight"] == (576, 576)
    assert shapes["blocks.0.ffn.down.weight"] == (576, 1536)
    untied = parameters(dataclasses.replace(SMOLLM2_135M, has_tied_head=False))
    assert untied["head.weight"] == (49152, 576)
    assert untied.keys() - shapes.keys() == {"head.weight"}


def test_heads_may_be_wider_than_the_model() -> None:
    attention = GroupedQueryAttention(n_heads=4, n_kv_heads=2, d_head=128, position=Rope(1e4, 128))
    block = dataclasses.replace(LLAMA_2_7B.blocks[0], attention=attention)
    shapes = parameters(dataclasses.replace(LLAMA_2_7B, d_model=256, blocks=(block,)))
    assert shapes["blocks.0.attention.query.weight"] == (512, 256)
    assert shapes["blocks.0.attention.value.weight"] == (256, 256)
    assert shapes["blocks.0.attention.output.weight"] == (256, 512)


def test_rotary_frequencies() -> None:
    plain = Rope(base=10000.0, n_rotated=8)
    assert plain.frequencies() == [1.0, 0.1, 0.01, 0.001] or all(
        math.isclose(f, want) for f, want in zip(plain.frequencies(), [1.0, 0.1, 0.01, 0.001], strict=True)
    )
    halved = dataclasses.replace(plain, linear_factor=2.0).frequencies()
    assert [2 * f for f in halved] == plain.frequencies()
    scaled = dataclasses.replace(plain, frequency_factors=(1.0, 2.0, 4.0, 8.0)).frequencies()
    assert [f * factor for f, factor in zip(scaled, (1, 2, 4, 8), strict=True)] == plain.frequencies()
    assert Rope(base=10000.0, n_rotated=0).frequencies() == []
