"""Convert a blueprint to the model specification of the native engine; reject unsupported parts by name."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from zeropoint import _native, families
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP, ChannelMix, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import Norm, RMSNorm
from zeropoint.blueprint.parts.position import (
    AttentionPosition,
    EmbeddingPosition,
    Learned,
    NoPosition,
    Rope,
)
from zeropoint.blueprint.parts.recurrence import Recurrence
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
    if blueprint.head is None or blueprint.head.has_transform:
        raise BadInput("the native engine needs a linear language-model head; use torch")
    if blueprint.embedding.n_types or blueprint.embedding.norm is not None:
        raise BadInput("the native engine has no token types and no norm on the embedding; use torch")
    rotations = _distinct_rotations(blueprint)
    return {
        "d_model": blueprint.d_model,
        "n_ctx": n_ctx,
        "n_vocab": blueprint.n_vocab,
        "layers": [_layer(block, rotations) for block in blueprint.blocks],
        "final_norm": _norm(blueprint.final_norm),
        "rotations": [_rotation(position, n_ctx) for position in rotations],
        "embedding_scale": blueprint.embedding.scale,
        "has_tied_head": blueprint.is_tied,
        "head_scale": blueprint.head.scale,
        "head_softcap": blueprint.head.softcap or 0.0,
        **_embedding_position(blueprint.embedding.position),
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


def _layer(block: Block, rotations: list[AttentionPosition]) -> dict[str, Any]:
    """One block. Raises BadInput for a part that the engine does not have."""
    if block.placement == "post":
        raise BadInput("the native engine has no norm after the residual connection; use torch")
    _refuse_missing_parts(block)
    return {
        "norm": _norm(block.norm),
        "placement": block.placement,
        "attention": None if block.attention is None else _attention(block.attention, rotations),
        "recurrence": None if block.recurrence is None else _recurrence(block.recurrence),
        "ffn": _ffn(block),
    }


def _refuse_missing_parts(block: Block) -> None:
    a, ffn = block.attention, block.ffn
    network = ffn.expert if isinstance(ffn, MixtureOfExperts) else ffn
    missing = {
        "norm of outputs alone": block.placement == "output",
        "residual scale": block.residual_scale != 1,
        "sink logits": a is not None and a.has_sink,
        "joint query and key norm": a is not None and a.has_joint_query_key_norm,
        "router bias": isinstance(ffn, MixtureOfExperts) and ffn.has_router_bias,
        "gate with biases or a limit": isinstance(network, Gated)
        and network != Gated(network.d_ff, network.activation),
    }
    for part, is_missing in missing.items():
        if is_missing:
            raise BadInput(f"the native engine has no {part} yet; use torch")


def _attention(attention: Attention, rotations: list[AttentionPosition]) -> dict[str, Any]:
    if attention.query_scale is not None:
        raise BadInput("the native engine has no queries that grow with the position yet; use torch")
    rotates = attention.position != NoPosition()
    return {
        "n_heads": attention.n_heads,
        "n_kv_heads": attention.n_kv_heads,
        "d_head": attention.d_head,
        "scale": attention.score_scale,
        "window": attention.window or 0,
        "softcap": attention.softcap or 0.0,
        "rotation": rotations.index(attention.position) if rotates else -1,
        "query_key_norm": _norm(attention.query_key_norm),
    }


def _recurrence(recurrence: Recurrence) -> tuple[str, dict[str, float]]:
    """The (kind, numeric fields) pair by which the native engine finds `native/model/recurrence/KIND.cpp`."""
    kind = kind_of(type(recurrence))
    if kind not in _native.recurrences():
        raise BadInput(f"the native engine has no {type(recurrence).__name__}; use torch")
    names = (field.name for field in dataclasses.fields(recurrence))
    return kind, {name: float(getattr(recurrence, name)) for name in names}


def _norm(norm: Norm | None) -> tuple[str, float]:
    if norm is None:
        return "none", 0.0
    return "rms" if isinstance(norm, RMSNorm) else "layer", norm.eps


def _ffn(block: Block) -> dict[str, Any]:
    match block.ffn:
        case None:
            return {"kind": "none"}
        case MLP(d_ff, activation):
            return {"kind": "mlp", "d_ff": d_ff, "activation": activation}
        case Gated(d_ff, activation):
            return {"kind": "gated", "d_ff": d_ff, "activation": activation}
        case ChannelMix():
            raise BadInput("the native engine has no RWKV channel mix yet; use torch")
        case mixture:
            if block.placement != "pre":
                raise BadInput("the native engine runs experts in pre-norm blocks only; use torch")
            return {
                "kind": "mixture",
                "d_ff": mixture.expert.d_ff,
                "activation": mixture.expert.activation,
                "n_experts": mixture.n_experts,
                "n_active": mixture.n_active,
                "has_renormalized_experts": mixture.has_renormalized_weights,
            }


def _distinct_rotations(blueprint: Blueprint) -> list[AttentionPosition]:
    """The encodings of queries and keys in the model, in the order in which blocks first use them."""
    positions: list[AttentionPosition] = []
    for attention in blueprint.attentions:
        if attention.position != NoPosition() and attention.position not in positions:
            positions.append(attention.position)
    return positions


def _embedding_position(position: EmbeddingPosition) -> dict[str, Any]:
    match position:
        case Learned(n_positions):
            return {"n_positions": n_positions, "embedding_position": None}
        case NoPosition():
            return {"n_positions": 0, "embedding_position": None}
        case _:
            return {"n_positions": 0, "embedding_position": _encoding(position, "embedding")}


def _rotation(position: AttentionPosition, n_ctx: int) -> dict[str, Any]:
    if not isinstance(position, Rope):
        none = {"frequencies": [], "is_interleaved": False, "factor": 1.0}
        return {**none, "encoding": _encoding(position, "heads")}
    return {
        "frequencies": position.frequencies(n_ctx),
        "is_interleaved": position.is_interleaved,
        "factor": position.attention_factor(),
        "encoding": None,
    }


def _encoding(position: Any, place: Literal["embedding", "heads"]) -> tuple[str, list[float]]:
    """The (kind, numeric fields) pair by which the native engine finds `native/ops/position/KIND.cpp`."""
    kind = kind_of(type(position))
    if place not in _native.position_encodings().get(kind, ()):
        where = "positions" if place == "embedding" else "in attention"
        raise BadInput(f"the native engine has no {type(position).__name__} {where}; use torch")
    return kind, [float(getattr(position, field.name)) for field in dataclasses.fields(position)]
