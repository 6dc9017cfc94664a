"""Granite 3 and 4 (dense): Llama with four multipliers, of embedding, scores, residuals and logits.

Granite Team, IBM, "Granite 3.0 Language Models", 2024, section 2; the multipliers are those of muP (Yang et
al., "Tensor Programs V", 2022). Hugging Face: `GraniteConfig`. GGUF: architecture `granite`, whose query and
key rows are reordered as Llama's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint, Embedding, Head
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.position import NoPosition, Rope
from zeropoint.blueprint.sources import TensorSource
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._experts import with_ffn
from zeropoint.families._gguf import InMemoryGguf, get_float, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._parts import network_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_MULTIPLIERS = ("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling")
_HAS_ROPE = "granite.rope.scaling.finetuned"  # llama.cpp uses this key as the switch
_SCALES = ("embedding_scale", "attention.scale", "residual_scale", "logit_scale")  # GGUF's, in the same order


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `GraniteConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    plain = llama_like_from_hf(c, "granite", "all" if c.get_bool("attention_bias", default=False) else "none")
    multipliers = [c.get_positive(key, default=1.0) for key in _MULTIPLIERS]
    return _with_multipliers(plain, multipliers, has_ffn_bias=c.get_bool("mlp_bias", default=False))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `GraniteConfig` cannot express it."""
    config = llama_like_to_hf(blueprint, "granite", "GraniteForCausalLM") | {
        "attention_bias": blueprint.attention.bias == "all",
        "mlp_bias": network_of(blueprint).has_bias,
        **dict(zip(_MULTIPLIERS, _multipliers(blueprint), strict=True)),
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    has_bias, has_output_bias = (f"blk.0.attn_{part}.bias" in model.tensors for part in ("q", "output"))
    plain = llama_like_from_gguf(
        model,
        "granite",
        is_interleaved=True,
        bias="all" if has_output_bias else "qkv" if has_bias else "none",
    )
    if not model.get_bool(_HAS_ROPE, default=True):
        blocks = tuple(block.with_attention(position=NoPosition()) for block in plain.blocks)
        plain = replace(plain, blocks=blocks)
    defaults = (1.0, plain.attention.score_scale, 1.0, None)
    multipliers = [
        get_float(model, f"granite.{key}", 1e-6, 1e6, default=default)
        for key, default in zip(_SCALES, defaults, strict=True)
    ]
    return _with_multipliers(plain, multipliers, has_ffn_bias="blk.0.ffn_gate.bias" in model.tensors)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `granite` cannot express it."""
    has_rope = blueprint.attention.position != NoPosition()
    unused = Rope(10000.0, blueprint.attention.d_head)
    metadata = llama_like_to_gguf(blueprint, "granite", None if has_rope else unused)
    if not has_rope:
        metadata[_HAS_ROPE] = False
    multipliers = zip(_SCALES, _multipliers(blueprint), strict=True)
    metadata |= {f"granite.{key}": float(value) for key, value in multipliers}
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA)
    return permute_rotary(names, blueprint, is_interleaved=kind == "gguf")


def _with_multipliers(plain: Blueprint, multipliers: list[float], has_ffn_bias: bool) -> Blueprint:
    """A Llama-like blueprint with Granite's multipliers, in the order of `_MULTIPLIERS`."""
    embedding, attention, residual, logits = multipliers
    gated = with_ffn(plain, lambda _, ffn: replace(cast(Gated, ffn), has_bias=has_ffn_bias))
    return replace(
        gated,
        blocks=tuple(
            replace(block.with_attention(scale=attention), residual_scale=residual) for block in gated.blocks
        ),
        embedding=Embedding(scale=embedding),
        head=replace(cast(Head, plain.head), scale=1 / logits),
    )


def _multipliers(blueprint: Blueprint) -> tuple[float, float, float, float]:
    """The multipliers in the order of `_MULTIPLIERS`. Raises BadInput for a model without a head."""
    if blueprint.head is None:
        raise BadInput("head is None; a file of the family granite needs a language-model head")
    scale, block = blueprint.attention.score_scale, blueprint.blocks[0]
    return blueprint.embedding.scale, scale, block.residual_scale, float(f"{1 / blueprint.head.scale:.15g}")
