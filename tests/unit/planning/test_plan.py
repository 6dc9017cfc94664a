"""Memory and speed of a model, computed from sizes: nothing is opened and nothing is measured."""

from __future__ import annotations

import dataclasses

import pytest

from zeropoint._native import MAX_BATCH_TOKENS
from zeropoint.blueprint import Block, Blueprint, Head, catalog
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, OutOfMemory
from zeropoint.planning.plan import (
    DEFAULT_CONTEXT,
    Plan,
    check_fits,
    choose_context,
    make_plan,
    read_bytes,
)

LLAMA_2_7B = Blueprint(
    family="llama",
    d_model=4096,
    n_vocab=32000,
    n_ctx=4096,
    blocks=(Block(Attention(32, 32, 128, Rope(10000.0, 128)), Gated(11008), RMSNorm(1e-5)),) * 32,
    final_norm=RMSNorm(1e-5),
    head=Head(is_tied=False),
)
WEIGHTS = 4_000_000_000


def plan_of(
    n_ctx: int = 4096,
    options: EngineOptions | None = None,
    *,
    bandwidth: float = 40e9,
    available_bytes: int | None = 16 * 10**9,
    read_bytes_s: float | None = None,
) -> Plan:
    return make_plan(
        LLAMA_2_7B,
        WEIGHTS,
        n_ctx,
        bandwidth=bandwidth,
        available_bytes=available_bytes,
        read_bytes_s=read_bytes_s,
        options=options,
    )


def work_bytes_of(blueprint: Blueprint) -> int:
    return make_plan(blueprint, WEIGHTS, 4096, bandwidth=40e9, available_bytes=None).work_bytes


def test_memory_is_weights_cache_and_work() -> None:
    plan = plan_of()
    assert plan.n_parameters == 6_738_415_616
    head_bytes = 128 * 2 + 4  # 16-bit integers and their scale
    assert plan.cache_bytes == 2 * 32 * 4096 * 32 * head_bytes
    assert plan.needed_bytes == WEIGHTS + plan.cache_bytes + plan.work_bytes
    assert 60_000_000 < plan.work_bytes < 200_000_000
    assert plan.fits


def test_work_counts_the_buffers_of_per_layer_inputs_and_recurrences() -> None:
    gemma = catalog.load("gemma-4-e2b")
    without = dataclasses.replace(
        gemma, blocks=tuple(dataclasses.replace(block, per_layer=None) for block in gemma.blocks)
    )
    inputs = gemma.n_layers * 256 * MAX_BATCH_TOKENS * 4  # 256 columns for each layer
    assert work_bytes_of(gemma) - work_bytes_of(without) == inputs
    rwkv = catalog.load("rwkv7-2.9b")
    assert work_bytes_of(rwkv) > 60_000_000 + 20 * rwkv.d_model * MAX_BATCH_TOKENS * 4


def test_options_change_the_memory_of_the_cache() -> None:
    cache_bytes = plan_of().cache_bytes
    assert plan_of(options=EngineOptions(exact=True)).cache_bytes == 2 * 32 * 4096 * 4096 * 4
    assert plan_of(options=EngineOptions(cache_type="f16")).cache_bytes == 2 * 32 * 4096 * 4096 * 2
    assert plan_of(n_ctx=1024).cache_bytes == cache_bytes // 4
    window = plan_of(options=EngineOptions(window=1100))  # rounded down to full pages of 128
    assert (window.n_cached, window.cache_bytes) == (1024, cache_bytes // 4)


def test_the_ceiling_is_bandwidth_over_bytes_per_token() -> None:
    plan = plan_of()
    embedding = WEIGHTS * 32000 * 4096 // 6_738_415_616
    assert plan.read_bytes == WEIGHTS - embedding
    assert plan.ceiling_tok_s == pytest.approx(40e9 / plan.read_bytes)
    assert 0.8 * plan.ceiling_tok_s < plan.expected_tok_s < plan.ceiling_tok_s
    assert plan_of(bandwidth=80e9).ceiling_tok_s == pytest.approx(2 * plan.ceiling_tok_s)


def test_slow_unpacking_lowers_the_expected_speed_but_not_the_ceiling() -> None:
    plan, slow = plan_of(), plan_of(read_bytes_s=10e9)
    assert plan_of(read_bytes_s=80e9).expected_tok_s == plan.ceiling_tok_s
    assert slow.ceiling_tok_s == plan.ceiling_tok_s
    assert slow.expected_tok_s < plan.expected_tok_s / 3


def test_a_tied_embedding_is_read_as_the_head() -> None:
    tied = dataclasses.replace(LLAMA_2_7B, head=Head(is_tied=True))
    assert read_bytes(tied, WEIGHTS) == WEIGHTS


def test_a_model_that_does_not_fit_is_refused_with_both_numbers() -> None:
    plan = plan_of(available_bytes=3 * 10**9)
    assert not plan.fits
    with pytest.raises(
        OutOfMemory, match=r"^llama needs 6\.\d GB .* context of 4096 and 3\.0 GB is free; .*--context\)$"
    ):
        check_fits(plan, "llama")
    check_fits(plan_of(), "llama")
    unknown = plan_of(available_bytes=None)
    assert unknown.fits
    check_fits(unknown, "llama")


def test_the_context_is_the_models_own_up_to_a_limit() -> None:
    long = dataclasses.replace(LLAMA_2_7B, n_ctx=131072)
    assert choose_context(LLAMA_2_7B, None) == 4096
    assert choose_context(long, None) == DEFAULT_CONTEXT
    assert choose_context(long, 131072) == 131072
    assert choose_context(long, 1) == 1
    for requested in (0, -1, 131073):
        with pytest.raises(BadInput, match=f"context is {requested}; this model takes 1 to 131072"):
            choose_context(long, requested)
