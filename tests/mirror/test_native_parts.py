"""Parts of a model on the native engine against torch, whether a family has them or not.

Each case is a blueprint with random weights. In exact mode the logits and every tap agree up to rounding, and
neither chunking nor the threads change a bit, in exact and in fast mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.native_blueprint import native_engine_of, random_module
from tests.support.tiny_blueprints import TINY
from zeropoint.blueprint import Block, Blueprint, Embedding
from zeropoint.blueprint.check import check
from zeropoint.blueprint.parts.attention import Attention, QueryScale
from zeropoint.blueprint.parts.ffn import MLP, ChannelMix, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import LayerNorm, RMSNorm
from zeropoint.blueprint.parts.per_layer import PerLayerInput
from zeropoint.blueprint.parts.position import NoPosition, Rope
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet, Mamba2, Recurrence, Rwkv7, ShortConvolution
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.tap_requests import native_taps
from zeropoint.engine_options import EngineOptions
from zeropoint.models.trace import trace

IDS = np.random.default_rng(3).integers(0, 61, 40).tolist()
RMS, ROPE = RMSNorm(1e-6), Rope(10000.0, 8)
GQA = Attention(4, 2, 8, ROPE)
BLOCK = Block(GQA, Gated(48), RMS)
JOINT = {"query_key_norm": RMS, "has_joint_query_key_norm": True}
LIMITED = Gated(48, "gelu_sigmoid", has_bias=True, limit=0.7, up_offset=1.0)
MIXTURE = MixtureOfExperts(4, 2, Gated(32))


def decoder(*blocks: Block) -> Blueprint:
    return replace(TINY["llama"], blocks=blocks)


def with_attention(**changes: object) -> Block:
    return replace(BLOCK, attention=replace(GQA, **changes))


def recurrent(recurrence: Recurrence) -> Block:
    return replace(BLOCK, attention=None, recurrence=recurrence)


FIRST = Rwkv7(d_head=8, decay_rank=5, rate_rank=18, value_rank=0, gate_rank=6)
LATER = replace(FIRST, value_rank=4)


def per_layer(width: int) -> Blueprint:
    """Gemma 4, whose blocks have inputs of their own, share keys and values and scale their output."""
    blocks = TINY["gemma4"].blocks
    return replace(
        TINY["gemma4"], blocks=tuple(replace(block, per_layer=PerLayerInput(width)) for block in blocks)
    )


CASES = {
    "per-layer inputs": per_layer(6),
    "wide per-layer inputs": per_layer(32),
    "heads": decoder(BLOCK, with_attention(n_heads=6, n_kv_heads=3), with_attention(d_head=16)),
    "rotations": decoder(
        BLOCK,
        with_attention(position=Rope(100.0, 4)),
        with_attention(position=NoPosition()),
        with_attention(position=Rope(10000.0, 8, is_interleaved=True)),
    ),
    "feed-forwards": decoder(
        BLOCK,
        replace(BLOCK, ffn=Gated(96, "gelu_tanh")),
        replace(BLOCK, ffn=MLP(64, "relu", has_bias=False)),
        replace(BLOCK, ffn=None),
    ),
    "norms": decoder(
        BLOCK,
        replace(BLOCK, norm=RMSNorm(0.1)),
        replace(with_attention(query_key_norm=RMSNorm(0.2)), placement="sandwich"),
        replace(BLOCK, placement="parallel"),
    ),
    "norms of outputs": decoder(
        replace(with_attention(**JOINT), placement="output"),
        replace(with_attention(position=NoPosition(), **JOINT), placement="output"),
    ),
    "scaled residuals": decoder(
        replace(BLOCK, residual_scale=0.3),
        replace(BLOCK, placement="sandwich", residual_scale=0.5),
        replace(BLOCK, placement="parallel", residual_scale=0.7),
        replace(BLOCK, ffn=MIXTURE, residual_scale=0.4),
    ),
    "sinks": decoder(
        with_attention(has_sink=True),
        with_attention(has_sink=True, window=3, bias="all"),
        with_attention(has_sink=True, softcap=5.0),
    ),
    "output gates": decoder(
        with_attention(has_output_gate=True),
        with_attention(has_output_gate=True, n_heads=6, n_kv_heads=3, bias="all", query_key_norm=RMS),
    ),
    "growing queries": decoder(
        with_attention(query_scale=QueryScale(0.4, 3)),
        with_attention(query_scale=QueryScale(0.1, 16), position=NoPosition()),
    ),
    "limited gates": decoder(
        replace(BLOCK, ffn=replace(LIMITED, has_bias=False)),
        replace(BLOCK, ffn=LIMITED),
        replace(BLOCK, ffn=MLP(64, "gelu_sigmoid")),
    ),
    "short convolutions": decoder(
        recurrent(ShortConvolution(3)), BLOCK, recurrent(ShortConvolution(4, has_bias=True))
    ),
    "gated delta nets": decoder(
        recurrent(GatedDeltaNet(2, 4, 8, 8)), with_attention(has_output_gate=True, query_key_norm=RMS)
    ),
    "tiled heads": decoder(recurrent(GatedDeltaNet(2, 6, 5, 40, d_kernel=2, has_tiled_heads=True)), BLOCK),
    "recurrences with two norms": decoder(
        replace(recurrent(GatedDeltaNet(1, 1, 16, 16)), placement="sandwich"), BLOCK
    ),
    "experts": decoder(
        replace(BLOCK, ffn=replace(MIXTURE, expert=LIMITED, has_router_bias=True)),
        replace(BLOCK, ffn=replace(MIXTURE, shared=Gated(96))),
        BLOCK,
    ),
    "mamba2": decoder(
        recurrent(Mamba2(4, 24, 5)),
        replace(recurrent(Mamba2(6, 8, 16, n_groups=3, d_kernel=2, has_convolution_bias=False)), ffn=None),
        replace(recurrent(Mamba2(2, 16, 33, n_groups=2, has_bias=True)), placement="sandwich"),
        replace(recurrent(Mamba2(1, 40, 1)), residual_scale=0.5),
    ),
    "rwkv7": replace(
        decoder(
            replace(recurrent(FIRST), ffn=ChannelMix(48)),
            replace(recurrent(LATER), ffn=ChannelMix(80), placement="sandwich"),
            BLOCK,
            recurrent(replace(LATER, d_head=16)),
            replace(recurrent(replace(LATER, d_head=32)), ffn=None),
        ),
        embedding=Embedding(norm=LayerNorm(1e-5)),
    ),
}


@pytest.fixture(params=CASES)
def blueprint(request: pytest.FixtureRequest) -> Blueprint:
    checked = CASES[request.param]
    check(checked)
    return checked


def logits_of(engine: NativeEngine, ends: Sequence[int]) -> np.ndarray:
    stepper = engine.stepper()
    rows = [stepper.extend(IDS[a:b]) for a, b in zip((0, *ends), (*ends, len(IDS)), strict=True)]
    stepper.close()
    return np.concatenate(rows)


def engines(
    blueprint: Blueprint, folder: Path, n_threads: int = 2
) -> Iterator[tuple[NativeEngine, torch.nn.Module]]:
    module = random_module(blueprint)
    for is_exact in (True, False):
        options = EngineOptions(context=64, threads=n_threads, exact=is_exact)
        engine = native_engine_of(module, blueprint, folder / "m.gguf", options)
        yield engine, module
        engine.close()


def test_logits_and_taps_equal_torchs(blueprint: Blueprint, tmp_path: Path) -> None:
    exact, module = next(engines(blueprint, tmp_path))
    expected = trace(module, IDS)
    taps = native_taps(blueprint)
    recorded = exact.trace(IDS, taps).points
    assert recorded.keys() == set(taps)
    for name, values in recorded.items():
        np.testing.assert_allclose(values, expected[name].numpy(), atol=3e-4, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(logits_of(exact, (1, 7, 8)), expected["logits"].numpy(), atol=2e-4, rtol=0)


def test_chunks_and_threads_do_not_change_a_bit(blueprint: Blueprint, tmp_path: Path) -> None:
    for one, two in zip(engines(blueprint, tmp_path, 1), engines(blueprint, tmp_path, 3), strict=True):
        whole = logits_of(one[0], ())
        for ends in ((), (1, 7, 8), tuple(range(1, len(IDS)))):
            np.testing.assert_array_equal(logits_of(two[0], ends), whole)
