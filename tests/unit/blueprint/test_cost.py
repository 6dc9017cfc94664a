"""Costs compared with numbers computed by hand or published."""

from dataclasses import replace

import pytest

from zeropoint.blueprint import Block, Blueprint, Embedding, Head, catalog
from zeropoint.blueprint.cost import (
    cache_bytes,
    count_active_parameters,
    count_parameters,
    count_parameters_without_positions,
    decode_flops,
    weight_bytes,
)
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Learned, Rope
from zeropoint.blueprint.parts.recurrence import ShortConvolution

NORM = RMSNorm(1e-5)
BLOCK = Block(Attention(4, 2, 8, Rope(10000.0, 8)), Gated(64), NORM)
TINY = Blueprint("llama", 32, 100, 64, (BLOCK,) * 3, NORM)
# query and output 32 x 32, key and value 16 x 32, three matrices of 64 x 32.
MATRICES = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32


def test_parameters_are_counted_once():
    assert count_parameters(TINY) == 100 * 32 + 3 * (MATRICES + 2 * 32) + 32
    assert count_parameters(replace(TINY, head=Head(is_tied=False))) == count_parameters(TINY) + 100 * 32
    learned = replace(TINY, embedding=Embedding(Learned(64)))
    assert count_parameters(learned) == count_parameters(TINY) + 64 * 32
    assert count_parameters_without_positions(learned) == count_parameters(TINY)
    assert count_parameters_without_positions(TINY) == count_parameters(TINY)


def test_only_active_experts_are_counted_as_active():
    mixed = replace(TINY, blocks=(replace(BLOCK, ffn=MixtureOfExperts(8, 2, Gated(64))),) * 3)
    assert count_parameters(mixed) - count_active_parameters(mixed) == 3 * 6 * 3 * 64 * 32
    assert count_active_parameters(TINY) == count_parameters(TINY)


def test_the_kv_cache_has_keys_and_values_of_every_layer():
    assert cache_bytes(TINY, 10) == 2 * 3 * 10 * 16 * 2
    assert cache_bytes(TINY, 10, element_bytes=4) == 2 * cache_bytes(TINY, 10)


def test_the_cache_is_counted_by_what_each_layer_holds():
    windowed, reading = BLOCK.with_attention(window=6), BLOCK.with_attention(source=0)
    recurrent = replace(BLOCK, attention=None, recurrence=ShortConvolution(3))
    hybrid = replace(TINY, blocks=(BLOCK, windowed, reading, recurrent))
    assert cache_bytes(hybrid, 10) == 2 * (10 + 6) * 16 * 2 + 2 * 32 * 4
    assert cache_bytes(hybrid, 4) == 2 * (4 + 4) * 16 * 2 + 2 * 32 * 4


@pytest.mark.parametrize(
    ("name", "position_bytes"),
    # 2 (key, value) x layers x width of all key heads x 2 bytes: half a megabyte per token in Llama 2 7B.
    [
        ("llama-2-7b", 524_288),
        ("llama-3-8b", 131_072),
        ("mistral-7b-v0.1", 131_072),
        ("smollm2-135m", 23_040),
    ],
)
def test_the_kv_cache_of_published_models(name, position_bytes):
    assert cache_bytes(catalog.load(name), 1) == position_bytes


def test_weight_bytes_follow_bits_per_weight():
    assert weight_bytes(catalog.load("llama-2-7b"), 16) == 2 * 6_738_415_616
    assert weight_bytes(TINY, 4.5) == -(-count_parameters(TINY) * 9 // 16)


def test_a_token_costs_2_operations_per_weight_and_4_per_cached_column():
    assert decode_flops(TINY, 0) == 2 * (3 * MATRICES + 100 * 32)
    assert decode_flops(TINY, 7) - decode_flops(TINY, 0) == 4 * 3 * 32 * 7


def test_a_window_bounds_the_cost_of_attention():
    windowed = replace(TINY, blocks=(replace(BLOCK, attention=replace(BLOCK.attention, window=5)),) * 3)
    assert decode_flops(windowed, 1000) == decode_flops(TINY, 5)


def test_a_token_runs_only_its_active_experts():
    mixtral = catalog.load("mixtral-8x7b")
    # The embedding is a lookup, not a product, and norms are not matrices.
    expected = 2 * (12_879_925_248 - 32_000 * 4096 - 65 * 4096)
    assert decode_flops(mixtral, 0) == expected
