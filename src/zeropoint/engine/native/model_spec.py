"""Convert a blueprint to the model specification of the native engine; reject unsupported parts by name."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from zeropoint import _native, families
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.ffn import MLP, Gated
from zeropoint.blueprint.parts.norm import Norm, RMSNorm
from zeropoint.blueprint.parts.position import (
    AttentionPosition,
    EmbeddingPosition,
    Learned,
    NoPosition,
    Rope,
)
from zeropoint.blueprint.sources import Rename, Reshaped, Rows, Stacked, TensorSource
from zeropoint.blueprint.toml_codec import kind_of
from zeropoint.errors import BadInput
from zeropoint.weights.gguf.model import GgufModel

__all__ = ["native_spec", "stored_tensors"]


def native_spec(blueprint: Blueprint, n_ctx: int) -> dict[str, Any]:
    """Return the specification that `_native.Engine` takes. Raises BadInput naming an unsupported part."""
    if not blueprint.is_decoder:
        raise BadInput(
            f"the native engine runs decoders only and {blueprint.family} has an encoder; use torch"
        )
    block = _uniform_block(blueprint)
    attention, position = blueprint.attention, blueprint.embedding.position
    if blueprint.head is None or blueprint.head.has_transform:
        raise BadInput("the native engine needs a linear language-model head; use torch")
    if blueprint.embedding.n_types or blueprint.embedding.norm is not None:
        raise BadInput("the native engine has no token types and no norm on the embedding; use torch")
    return {
        "n_layers": blueprint.n_layers,
        "n_heads": attention.n_heads,
        "n_kv_heads": attention.n_kv_heads,
        "d_model": blueprint.d_model,
        "d_head": attention.d_head,
        "n_ctx": n_ctx,
        "n_vocab": blueprint.n_vocab,
        "placement": block.placement,
        "has_query_key_norm": attention.query_key_norm is not None,
        "attention_scale": attention.score_scale,
        "rules": [(a.window or 0, a.softcap or 0.0) for a in blueprint.attentions],
        "embedding_scale": blueprint.embedding.scale,
        "has_tied_head": blueprint.is_tied,
        "head_scale": blueprint.head.scale,
        "head_softcap": blueprint.head.softcap or 0.0,
        **_norm(block.norm, blueprint.final_norm),
        **_ffn(block),
        **_embedding_position(position),
        **_head_position(attention.position, n_ctx),
    }


def stored_tensors(model: GgufModel, blueprint: Blueprint) -> dict[str, tuple[str, int, int]]:
    """Map our tensor names to (stored name, first row, rows of the stored tensor or 0 for all of it).

    Experts stored as separate tensors are named `blocks.0.ffn.experts.up.3.weight`.
    """
    stored: dict[str, tuple[str, int, int]] = {}
    for ours, source in families.gguf_sources(model, blueprint).items():
        if isinstance(source, Stacked):
            module, _, kind = ours.rpartition(".")
            parts = enumerate(source.sources)
            stored |= {f"{module}.{e}.{kind}": _stored(model, part) for e, part in parts}
        else:
            stored[ours] = _stored(model, source)
    return stored


def _stored(model: GgufModel, source: TensorSource) -> tuple[str, int, int]:
    match source:
        case Rename(name):
            return name, 0, 0
        case Reshaped(inner):
            return _stored(model, inner)
        case Rows(Rename(name), begin, _) if name in model.tensors:
            return name, begin, model.tensors[name].shape[0]
        case Rows(Rename(name)):
            return name, 0, 0  # missing; the engine reports it
        case other:
            kind = type(other).__name__
            raise BadInput(f"{model.name}: the native engine cannot read a {kind} tensor; use torch")


def _uniform_block(blueprint: Blueprint) -> Block:
    """Return the first block, after checking that the blocks differ in their window only."""
    first = blueprint.blocks[0]
    for i, block in enumerate(blueprint.blocks):
        if _without_window(block) != _without_window(first):
            raise BadInput(
                f"the native engine runs blocks that differ in their window only; blocks[{i}] differs in more"
            )
    return first


def _without_window(block: Block) -> tuple[Any, ...]:
    a = block.attention
    if a is None:
        raise BadInput("the native engine has no recurrences yet; use torch")
    attention = (a.n_heads, a.n_kv_heads, a.d_head, a.position, a.bias, a.query_key_norm, a.scale, a.softcap)
    return (attention, block.ffn, block.norm, block.placement)


def _norm(norm: Norm | None, final: Norm | None) -> dict[str, Any]:
    if final is not None and final != norm:
        raise BadInput("the native engine needs a final norm like those of the blocks; use torch")
    if norm is None:
        return {"norm": "none", "norm_eps": 0.0, "has_final_norm": False}
    kind = "rms" if isinstance(norm, RMSNorm) else "layer"
    return {"norm": kind, "norm_eps": norm.eps, "has_final_norm": final is not None}


def _ffn(block: Block) -> dict[str, Any]:
    none = {"n_experts": 0, "n_active": 0, "has_renormalized_experts": True}
    match block.ffn:
        case None:
            return {"ffn": "none", "d_ff": 1, "activation": "relu", **none}
        case MLP(d_ff, activation):
            return {"ffn": "mlp", "d_ff": d_ff, "activation": activation, **none}
        case Gated(d_ff, activation):
            return {"ffn": "gated", "d_ff": d_ff, "activation": activation, **none}
        case mixture:
            if block.placement != "pre":
                raise BadInput("the native engine runs experts in pre-norm blocks only; use torch")
            return {
                "ffn": "mixture",
                "d_ff": mixture.expert.d_ff,
                "activation": mixture.expert.activation,
                "n_experts": mixture.n_experts,
                "n_active": mixture.n_active,
                "has_renormalized_experts": mixture.has_renormalized_weights,
            }


def _embedding_position(position: EmbeddingPosition) -> dict[str, Any]:
    match position:
        case Learned(n_positions):
            return {"n_positions": n_positions, "embedding_position": None}
        case NoPosition():
            return {"n_positions": 0, "embedding_position": None}
        case _:
            return {"n_positions": 0, "embedding_position": _encoding(position, "embedding")}


def _head_position(position: AttentionPosition, n_ctx: int) -> dict[str, Any]:
    no_rope = {"rope_frequencies": [], "is_rope_interleaved": False, "rope_factor": 1.0}
    match position:
        case Rope() as rope:
            return {
                "rope_frequencies": rope.frequencies(n_ctx),
                "is_rope_interleaved": rope.is_interleaved,
                "rope_factor": rope.attention_factor(),
                "head_rotation": None,
            }
        case NoPosition():
            return {**no_rope, "head_rotation": None}
        case _:
            return {**no_rope, "head_rotation": _encoding(position, "heads")}


def _encoding(position: Any, place: Literal["embedding", "heads"]) -> tuple[str, list[float]]:
    """The (kind, numeric fields) pair by which the native engine finds `native/ops/position/KIND.cpp`."""
    kind = kind_of(type(position))
    if place not in _native.position_encodings().get(kind, ()):
        where = "positions" if place == "embedding" else "in attention"
        raise BadInput(f"the native engine has no {type(position).__name__} {where}; use torch")
    return kind, [float(getattr(position, field.name)) for field in dataclasses.fields(position)]
