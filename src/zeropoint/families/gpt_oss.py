"""gpt-oss 20B and 120B: experts with biases and a limited SwiGLU, sink logits, a window in every other block.

OpenAI, "gpt-oss-120b and gpt-oss-20b Model Card", 2025, section 2. Hugging Face: `GptOssConfig`; gate and up
columns of the experts alternate, and published checkpoints store the experts in MXFP4, which
`weights/mxfp4_tensors.py` reads. GGUF: architecture `gpt-oss`, rotary pairs in halves. llama.cpp rounds
YaRN's limits to whole pairs as for other models, so its angles differ slightly from those of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Bias
from zeropoint.blueprint.parts.ffn import FFN, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.position import Rope, YarnScaling
from zeropoint.blueprint.sources import Regrouped, Rename, Rows, TensorSource, Transposed
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._experts import PLACEHOLDERS, expert_counts, expert_counts_from_hf, with_ffn
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    layer_windows_to_hf,
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._parts import experts_of
from zeropoint.families._round_trip import check_round_trip
from zeropoint.families._windows import sliding_from_gguf, sliding_to_gguf, windows_from_hf

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

GGUF_ARCHITECTURE = "gpt-oss"
PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
MXFP4 = r"model\.layers\.\d+\.mlp\.experts\.(gate_up|down)_proj"
_GGUF = GGUF | {"blocks.{}.ffn_norm": "blk.{}.post_attention_norm"}
_HF = HF_LLAMA | {
    "blocks.{}.attention.sink.weight": "model.layers.{}.self_attn.sinks",
    "blocks.{}.ffn.router": "model.layers.{}.mlp.router",
}
_PERIOD, _WINDOW = 2, 128  # every second block attends to everything
_ALPHA, _LIMIT = 1.702, 7.0
_DEFAULTS = {"head_dim": 64, "rope_theta": 150000.0, "max_position_embeddings": 131072}  # transformers'
_YARN = {"rope_type": "yarn", "factor": 32.0, "truncate": False, "original_max_position_embeddings": 4096}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `GptOssConfig`. Raises BadModelFile naming the key at fault."""
    has_rope = bool(config.get("rope_parameters") or config.get("rope_scaling"))
    c = HfConfig(_DEFAULTS | dict(config) | ({} if has_rope else {"rope_scaling": _YARN}))
    c.require("hidden_act", "silu")
    c.require("swiglu_alpha", _ALPHA)
    bias: Bias = "all" if c.get_bool("attention_bias", default=True) else "none"
    plain = llama_like_from_hf(c, "gpt_oss", bias, windows_from_hf(c, _PERIOD, _WINDOW), eps=1e-5)
    limit = c.get_positive("swiglu_limit", default=_LIMIT)
    return _with_experts(plain, *expert_counts_from_hf(c, 128, 4), limit)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `GptOssConfig` cannot express it."""
    experts = experts_of(blueprint)
    config = llama_like_to_hf(_with_silu(blueprint), "gpt_oss", "GptOssForCausalLM")
    config |= layer_windows_to_hf(blueprint)
    if config["sliding_window"] is None:
        config["sliding_window"] = _WINDOW  # unused, but transformers requires one
    config |= {
        "attention_bias": blueprint.attention.bias == "all",
        "num_local_experts": experts.n_experts,
        "num_experts_per_tok": experts.n_active,
        "swiglu_limit": experts.expert.limit,
    }
    config.setdefault("rope_scaling", {"rope_type": "default"})  # an absent key means YaRN
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    bias: Bias = "all" if "blk.0.attn_q.bias" in model.tensors else "none"
    plain = llama_like_from_gguf(model, "gpt-oss", bias=bias)
    window = model.get_int("gpt-oss.attention.sliding_window", 1, 2**24)
    position = plain.attention.position
    if isinstance(position, Rope) and isinstance(position.scaling, YarnScaling):
        position = replace(position, scaling=replace(position.scaling, has_whole_pairs=False))
    sliding = sliding_from_gguf(model, "gpt-oss", plain.n_layers, _PERIOD)
    d_ff = cast(Gated, plain.blocks[0].ffn).d_ff
    d_ff = model.get_int("gpt-oss.expert_feed_forward_length", 1, 2**22, default=d_ff)
    blocks = tuple(
        replace(block.with_attention(position=position, window=window if slides else None), ffn=Gated(d_ff))
        for block, slides in zip(plain.blocks, sliding, strict=True)
    )
    plain = replace(plain, family="gpt_oss", blocks=blocks)
    return _with_experts(plain, *expert_counts(model, "gpt-oss"), _LIMIT)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `gpt-oss` cannot express it."""
    a, experts = blueprint.attention, experts_of(blueprint)
    window = next((attention.window for attention in blueprint.attentions if attention.window), _WINDOW)
    metadata = llama_like_to_gguf(blueprint, "gpt-oss") | {
        "gpt-oss.attention.sliding_window": window,
        "gpt-oss.attention.key_length": a.d_head,
        "gpt-oss.attention.value_length": a.d_head,
        "gpt-oss.expert_count": experts.n_experts,
        "gpt-oss.expert_used_count": experts.n_active,
        "gpt-oss.expert_feed_forward_length": experts.expert.d_ff,
        **sliding_to_gguf(blueprint, "gpt-oss", _PERIOD),
    }
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    if kind == "gguf":
        return permute_rotary(rename_tensors(blueprint, _GGUF), blueprint, is_interleaved=False)
    sources = rename_tensors(blueprint, _HF | PLACEHOLDERS)
    for i, block in enumerate(blueprint.blocks):
        if isinstance(block.ffn, MixtureOfExperts):
            sources |= _expert_sources(i, block.ffn.expert)
    return permute_rotary(sources, blueprint, is_interleaved=False)


def _expert_sources(i: int, expert: Gated) -> dict[str, TensorSource]:
    """The experts of block i: [E, D, 2F] with columns gate, up, gate, ...; down [E, F, D]."""
    ours, theirs = f"blocks.{i}.ffn.experts", f"model.layers.{i}.mlp.experts"
    fused: dict[str, TensorSource] = {"weight": Transposed(Rename(f"{theirs}.gate_up_proj"))}
    sources: dict[str, TensorSource] = {f"{ours}.down.weight": Transposed(Rename(f"{theirs}.down_proj"))}
    if expert.has_bias:
        fused["bias"] = Rename(f"{theirs}.gate_up_proj_bias")
        sources[f"{ours}.down.bias"] = Rename(f"{theirs}.down_proj_bias")
    for kind, source in fused.items():
        halves = Regrouped(source, expert.d_ff, 2, axis=1)
        sources[f"{ours}.gate.{kind}"] = Rows(halves, 0, expert.d_ff, axis=1)
        sources[f"{ours}.up.{kind}"] = Rows(halves, expert.d_ff, 2 * expert.d_ff, axis=1)
    return sources


def _with_experts(plain: Blueprint, n_experts: int, n_active: int, limit: float) -> Blueprint:
    """A Llama-like blueprint with gpt-oss's experts and sinks."""

    def experts(_: int, ffn: FFN | None) -> FFN:
        d_ff = cast(Gated, ffn).d_ff  # the network of a Llama-like block
        expert = Gated(d_ff, "gelu_sigmoid", has_bias=True, limit=limit, up_offset=1.0)
        return MixtureOfExperts(n_experts, n_active, expert, has_router_bias=True)

    blueprint = with_ffn(plain, experts)
    return replace(blueprint, blocks=tuple(block.with_attention(has_sink=True) for block in blueprint.blocks))


def _with_silu(blueprint: Blueprint) -> Blueprint:
    """The blueprint with the activation that config.json names. Raises BadInput for another activation."""
    experts = experts_of(blueprint)
    if experts.expert.activation != "gelu_sigmoid":
        raise BadInput(
            f"blocks[0].ffn.expert.activation is {experts.expert.activation!r}; a file of the family gpt_oss "
            "needs 'gelu_sigmoid'"
        )
    return with_ffn(blueprint, lambda *_: replace(experts, expert=Gated(experts.expert.d_ff)))
