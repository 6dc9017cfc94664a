"""A tiny blueprint of every published architecture, in sizes that run in milliseconds."""

from __future__ import annotations

from dataclasses import replace

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention, QueryScale
from zeropoint.blueprint.parts.ffn import MLP, ChannelMix, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import LayerNorm, RMSNorm
from zeropoint.blueprint.parts.per_layer import PerLayerInput
from zeropoint.blueprint.parts.position import (
    Alibi,
    DynamicNtkScaling,
    Learned,
    LinearScaling,
    LongRopeScaling,
    NoPosition,
    ProportionalScaling,
    RelativeBias,
    Rope,
    Sinusoidal,
    YarnScaling,
)
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet, Mamba2, Rwkv7, ShortConvolution

__all__ = ["DECODERS", "ENCODERS", "SEQ2SEQS", "TINY"]

_D, _V, _CTX = 32, 61, 64
_RMS, _LAYER = RMSNorm(1e-6), LayerNorm(1e-5)
_ROPE = Rope(10000.0, 8)
_GQA = Attention(4, 2, 8, _ROPE)
_MHA = Attention(4, 4, 8, bias="all")


def _decoder(family: str, *blocks: Block, **more: object) -> Blueprint:
    values: dict[str, object] = {"final_norm": blocks[0].norm, **more}
    return Blueprint(family, _D, _V, _CTX, blocks, **values)  # type: ignore[arg-type]


def _gpt2() -> Blueprint:
    block = Block(_MHA, MLP(48, "gelu_tanh"), _LAYER)
    return _decoder("gpt2", block, block, embedding=Embedding(Learned(_CTX)))


def _gemma2() -> Blueprint:
    norm = RMSNorm(1e-6, is_offset=True)
    local = replace(_GQA, window=4, scale=0.3, softcap=5.0)
    ffn = Gated(48, "gelu_tanh")
    blocks = (Block(local, ffn, norm, "sandwich"), Block(replace(local, window=None), ffn, norm, "sandwich"))
    return _decoder("gemma2", *blocks, embedding=Embedding(scale=_D**0.5), head=Head(softcap=3.0))


def _gemma3() -> Blueprint:
    norm = RMSNorm(1e-6, is_offset=True)
    local = replace(_GQA, d_head=16, window=4, query_key_norm=norm, position=Rope(10000.0, 16), scale=0.3)
    everywhere = replace(local, window=None, position=Rope(1e6, 16, scaling=LinearScaling(8.0)))
    blocks = tuple(Block(a, Gated(48, "gelu_tanh"), norm, "sandwich") for a in (local, everywhere))
    return _decoder("gemma3", *blocks, embedding=Embedding(scale=_D**0.5))


def _gemma4() -> Blueprint:
    local = replace(_GQA, window=4, query_key_norm=_RMS, value_norm=RMSNorm(1e-6, has_gain=False), scale=0.3)
    rope = Rope(1e6, 16, scaling=ProportionalScaling(0.25))
    everywhere = replace(local, d_head=16, window=None, position=rope)
    shared = [replace(a, source=i, value_norm=None) for i, a in enumerate((local, everywhere))]
    blocks = [
        Block(
            attention,
            Gated(48 if attention.has_keys else 96, "gelu_tanh"),
            _RMS,
            "sandwich",
            per_layer=PerLayerInput(6),
            has_output_scale=True,
        )
        for attention in (local, everywhere, *shared)
    ]
    return _decoder("gemma4", *blocks, embedding=Embedding(scale=_D**0.5), head=Head(softcap=3.0))


def _smollm3() -> Blueprint:
    rotated = Block(_GQA, Gated(48), _RMS)
    return _decoder("smollm3", *(rotated,) * 3, rotated.with_attention(position=NoPosition()))


def _ministral3() -> Blueprint:
    rope = replace(_ROPE, is_interleaved=True, scaling=YarnScaling(4.0, 5, attention_factor=1.0))
    attention = replace(_GQA, position=rope, query_scale=QueryScale(0.3, 5))
    block = Block(attention, Gated(48), _RMS)
    return _decoder("mistral3", block, block, head=Head(is_tied=False))


def _phi2() -> Blueprint:
    attention = replace(_MHA, position=replace(_ROPE, n_rotated=4))
    block = Block(attention, MLP(48, "gelu_tanh"), _LAYER, "parallel")
    return _decoder("phi2", block, block, head=Head(is_tied=False, has_bias=True))


def _bert() -> Blueprint:
    attention = replace(_MHA, is_causal=False)
    block = Block(attention, MLP(48, "gelu"), _LAYER, "post")
    embedding = Embedding(Learned(_CTX), n_types=2, norm=_LAYER)
    head = Head(has_bias=True, has_transform=True)
    return Blueprint("bert", _D, _V, _CTX, (block, block), None, embedding, head)


def _t5() -> Blueprint:
    encoding = Attention(4, 4, 8, RelativeBias(8, 16, True), is_causal=False, scale=1.0)
    decoding = replace(encoding, position=RelativeBias(8, 16, False), is_causal=True)
    crossing = Attention(4, 4, 8, is_causal=False, scale=1.0)
    ffn = MLP(48, "relu", has_bias=False)
    return Blueprint(
        "t5",
        _D,
        _V,
        _CTX,
        (Block(decoding, ffn, _RMS, cross_attention=crossing),) * 2,
        _RMS,
        head=Head(scale=_D**-0.5),
        encoder=(Block(encoding, ffn, _RMS),) * 2,
        encoder_norm=_RMS,
    )


def _transformer() -> Blueprint:
    encoding, ffn = replace(_MHA, is_causal=False), MLP(48, "relu")
    return Blueprint(
        "transformer",
        _D,
        _V,
        _CTX,
        (Block(_MHA, ffn, _LAYER, "post", cross_attention=encoding),) * 2,
        None,
        Embedding(Sinusoidal(_CTX), scale=_D**0.5),
        encoder=(Block(encoding, ffn, _LAYER, "post"),) * 3,
    )


def _mixture() -> Blueprint:
    block = Block(_GQA, MixtureOfExperts(4, 2, Gated(24)), _RMS)
    return _decoder("mixtral", block, block, head=Head(is_tied=False))


def _granite() -> Blueprint:
    block = Block(replace(_GQA, scale=0.2), Gated(48, has_bias=True), _RMS, residual_scale=0.4)
    return _decoder("granite", block, block, embedding=Embedding(scale=3.0), head=Head(scale=0.25))


def _olmo3() -> Blueprint:
    local = replace(_GQA, query_key_norm=_RMS, has_joint_query_key_norm=True, window=4)
    full = replace(local, window=None, position=replace(_ROPE, scaling=YarnScaling(4.0, 16)))
    blocks = [Block(attention, Gated(48), _RMS, "output") for attention in (local, full)]
    return _decoder("olmo3", *blocks, head=Head(is_tied=False))


def _qwen3moe() -> Blueprint:
    attention = replace(_GQA, query_key_norm=_RMS, d_head=16, position=Rope(10000.0, 16))
    block = Block(attention, MixtureOfExperts(4, 2, Gated(24), has_renormalized_weights=False), _RMS)
    return _decoder("qwen3moe", block, block, head=Head(is_tied=False))


def _gpt_oss() -> Blueprint:
    rope = replace(_ROPE, scaling=YarnScaling(8.0, 16, has_whole_pairs=False))
    local = replace(_GQA, position=rope, bias="all", window=4, has_sink=True)
    expert = Gated(24, "gelu_sigmoid", has_bias=True, limit=7.0, up_offset=1.0)
    ffn = MixtureOfExperts(4, 2, expert, has_router_bias=True)
    blocks = [Block(attention, ffn, _RMS) for attention in (local, replace(local, window=None))]
    return _decoder("gpt_oss", *blocks, head=Head(is_tied=False))


def _granitehybrid() -> Blueprint:
    recurrence = Mamba2(8, 8, 16, norm_eps=1e-6)
    ffn = MixtureOfExperts(4, 2, Gated(24), shared=Gated(40))
    mixing = Block(None, ffn, _RMS, recurrence=recurrence, residual_scale=0.4)
    attending = replace(mixing, attention=replace(_GQA, position=NoPosition(), scale=0.2), recurrence=None)
    head = Head(scale=0.25)
    return _decoder("granitehybrid", mixing, attending, mixing, embedding=Embedding(scale=3.0), head=head)


def _mamba2() -> Blueprint:
    block = Block(None, None, _RMS, recurrence=Mamba2(8, 8, 16, n_groups=2, norm_eps=1e-6))
    return _decoder("mamba2", block, block)


def _rwkv7() -> Blueprint:
    first = Rwkv7(d_head=8, decay_rank=6, rate_rank=5, value_rank=0, gate_rank=7)
    blocks = [
        Block(None, ChannelMix(48), _LAYER, recurrence=recurrence)
        for recurrence in (first, replace(first, value_rank=4))
    ]
    return _decoder("rwkv7", *blocks, embedding=Embedding(norm=_LAYER), head=Head(is_tied=False))


def _llama(**attention: object) -> Blueprint:
    block = Block(replace(_GQA, **attention), Gated(48), _RMS)  # type: ignore[arg-type]
    return _decoder("llama", block, block, head=Head(is_tied=False))


def _qwen35() -> Blueprint:
    norm = RMSNorm(1e-6, is_offset=True)
    attention = replace(_GQA, query_key_norm=norm, has_output_gate=True, position=Rope(10000.0, 4))
    attending = Block(attention, Gated(48), norm)
    mixing = Block(None, Gated(48), norm, recurrence=GatedDeltaNet(2, 4, 8, 8))
    return _decoder("qwen35", mixing, attending, mixing, attending)


_SHORT_LONG = LongRopeScaling((1.0, 1.1, 1.2), (1.0, 2.0, 4.0), 8, 1.2)


def _lfm2() -> Blueprint:
    attention = replace(_GQA, query_key_norm=_RMS)
    attending = Block(attention, Gated(48), _RMS)
    mixing = Block(None, Gated(48), _RMS, recurrence=ShortConvolution(3))
    return _decoder("lfm2", mixing, attending, mixing)


_LONG = LongRopeScaling((1.0, 1.1, 1.2, 1.3), (1.0, 2.0, 4.0, 8.0), 8, 1.2)

DECODERS: dict[str, Blueprint] = {
    "gpt2": _gpt2(),
    "llama": _llama(),
    "multi-query": _llama(n_kv_heads=1),
    "interleaved": _llama(position=replace(_ROPE, is_interleaved=True)),
    "window": _llama(window=3),
    "qwen2": _llama(bias="qkv"),
    "qwen3": _llama(query_key_norm=_RMS, d_head=16, position=Rope(10000.0, 16)),
    "yarn": _llama(position=replace(_ROPE, scaling=YarnScaling(4.0, 16))),
    "dynamic": _llama(position=replace(_ROPE, scaling=DynamicNtkScaling(4.0, 8))),
    "longrope": _llama(position=replace(_ROPE, scaling=_LONG)),
    "phi4": _llama(position=Rope(10000.0, 6, scaling=_SHORT_LONG)),
    "alibi": _llama(position=Alibi()),
    "phi2": _phi2(),
    "gemma2": _gemma2(),
    "gemma3": _gemma3(),
    "gemma4": _gemma4(),
    "smollm3": _smollm3(),
    "mistral3": _ministral3(),
    "mixtral": _mixture(),
    "granite": _granite(),
    "olmo3": _olmo3(),
    "qwen3moe": _qwen3moe(),
    "gpt-oss": _gpt_oss(),
    "lfm2": _lfm2(),
    "qwen35": _qwen35(),
    "mamba2": _mamba2(),
    "granitehybrid": _granitehybrid(),
    "rwkv7": _rwkv7(),
    "attention alone": _decoder("handmade", Block(replace(_MHA, bias="output"), None, None)),
}
ENCODERS: dict[str, Blueprint] = {"bert": _bert()}
SEQ2SEQS: dict[str, Blueprint] = {"t5": _t5(), "transformer": _transformer()}
TINY = {**DECODERS, **ENCODERS, **SEQ2SEQS}
