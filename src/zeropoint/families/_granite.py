"""Granite's four multipliers, of embedding, scores, residuals and logits, which its architectures share.

They are those of muP (Yang et al., "Tensor Programs V", 2022).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Bias
from zeropoint.blueprint.parts.position import NoPosition
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata
from zeropoint.families._gguf import get_float
from zeropoint.families._hf import HfConfig

__all__ = ["biases", "from_hf", "read_gguf", "to_hf", "write_gguf"]

_KEYS = ("embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling")
_GGUF_KEYS = ("embedding_scale", "attention.scale", "residual_scale", "logit_scale")  # in the same order
_HAS_ROPE = "rope.scaling.finetuned"  # llama.cpp uses this key as the switch


def from_hf(plain: Blueprint, c: HfConfig) -> Blueprint:
    """A Llama-like blueprint with the multipliers of a config. Raises BadModelFile."""
    return _with(plain, [c.get_positive(key, default=1.0) for key in _KEYS])


def to_hf(blueprint: Blueprint) -> dict[str, float]:
    """The keys that `from_hf` reads."""
    return dict(zip(_KEYS, _multipliers(blueprint), strict=True))


def read_gguf(plain: Blueprint, model: GgufMetadata, arch: str) -> Blueprint:
    """The same from a file's metadata, and without positions if the file says so."""
    if not model.get_bool(f"{arch}.{_HAS_ROPE}", default=True):
        blocks = tuple(block.with_attention(position=NoPosition()) for block in plain.blocks)
        plain = replace(plain, blocks=blocks)
    defaults = (1.0, plain.attention.score_scale, 1.0, None)
    multipliers = [
        get_float(model, f"{arch}.{key}", 1e-6, 1e6, default=default)
        for key, default in zip(_GGUF_KEYS, defaults, strict=True)
    ]
    return _with(plain, multipliers)


def write_gguf(blueprint: Blueprint, arch: str) -> dict[str, Any]:
    """The metadata that `read_gguf` reads."""
    multipliers = zip(_GGUF_KEYS, _multipliers(blueprint), strict=True)
    metadata: dict[str, Any] = {f"{arch}.{key}": float(value) for key, value in multipliers}
    if blueprint.attention.position == NoPosition():
        metadata[f"{arch}.{_HAS_ROPE}"] = False
    return metadata


def biases(model: GgufMetadata) -> Bias:
    """Which projections of the attention have a bias in a file."""
    if any(name.endswith(".attn_output.bias") for name in model.tensors):
        return "all"
    return "qkv" if any(name.endswith(".attn_q.bias") for name in model.tensors) else "none"


def _with(plain: Blueprint, multipliers: list[float]) -> Blueprint:
    embedding, attention, residual, logits = multipliers
    return replace(
        plain,
        blocks=tuple(
            replace(block.with_attention(scale=attention), residual_scale=residual) for block in plain.blocks
        ),
        embedding=Embedding(scale=embedding),
        head=replace(cast(Head, plain.head), scale=1 / logits),
    )


def _multipliers(blueprint: Blueprint) -> tuple[float, float, float, float]:
    """In the order of `_KEYS`. Raises BadInput for a model without a head."""
    if blueprint.head is None:
        raise BadInput(f"head is None; a file of the family {blueprint.family} needs a language-model head")
    scale = blueprint.attention.score_scale if blueprint.attentions else 1.0
    residual = blueprint.blocks[0].residual_scale
    return blueprint.embedding.scale, scale, residual, float(f"{1 / blueprint.head.scale:.15g}")
