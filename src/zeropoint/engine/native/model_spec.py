"""Convert a blueprint to the model specification of the native engine; reject unsupported parts by name."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, Literal

from zeropoint import _native, families
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP, Activation, ChannelMix, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import Norm, RMSNorm
from zeropoint.blueprint.parts.position import (
    AttentionPosition,
    EmbeddingPosition,
    Learned,
    NoPosition,
    Rope,
)
from zeropoint.blueprint.parts.recurrence import Recurrence
from zeropoint.blueprint.sources import (
    LogOfNegative,
    Regrouped,
    Rename,
    Reshaped,
    Rows,
    Stacked,
    TensorSource,
    stored_names,
)
from zeropoint.blueprint.toml_codec import kind_of
from zeropoint.errors import BadInput
from zeropoint.weights.gguf.model import GgufModel

__all__ = ["native_recurrence", "native_spec", "stored_tensors"]

# Of a stored tensor: its name, its rows, the runs of rows (first, number) that make up ours or [] for all of
# them, and how its values change.
Change = Literal["", "reshaped", "log of negative"]
Stored = tuple[str, int, list[tuple[int, int]], Change]

GELU_SIGMOID_SLOPE = 1.702


def native_spec(blueprint: Blueprint, n_ctx: int) -> dict[str, Any]:
    """Return the specification that `_native.Engine` takes. Raises BadInput naming an unsupported part."""
    if not blueprint.is_decoder:
        raise BadInput(
            f"the native engine runs decoders only and {blueprint.family} has an encoder; use torch"
        )
    if blueprint.head is None or blueprint.head.has_transform:
        raise BadInput("the native engine needs a linear language-model head; use torch")
    if blueprint.embedding.n_types:
        raise BadInput("the native engine has no token types; use torch")
    rotations, per_layer = _distinct_rotations(blueprint), blueprint.per_layer
    return {
        "d_model": blueprint.d_model,
        "n_ctx": n_ctx,
        "n_vocab": blueprint.n_vocab,
        "layers": [_layer(block, rotations) for block in blueprint.blocks],
        "embedding_norm": _norm(blueprint.embedding.norm),
        "final_norm": _norm(blueprint.final_norm),
        "rotations": [_rotation(position, n_ctx) for position in rotations],
        "d_per_layer": 0 if per_layer is None else per_layer.width,
        "per_layer_activation": "gelu_tanh" if per_layer is None else per_layer.activation,
        "embedding_scale": blueprint.embedding.scale,
        "has_tied_head": blueprint.is_tied,
        "head_scale": blueprint.head.scale,
        "head_softcap": blueprint.head.softcap or 0.0,
        **_embedding_position(blueprint.embedding.position),
    }


def stored_tensors(model: GgufModel, blueprint: Blueprint) -> dict[str, Stored]:
    """Map our tensor names to where they are stored.

    Experts stored as separate tensors are named `blocks.0.ffn.experts.up.3.weight`.
    """
    stored: dict[str, Stored] = {}
    for ours, source in families.gguf_sources(model, blueprint).items():
        if isinstance(source, Stacked):
            module, _, kind = ours.rpartition(".")
            parts = enumerate(source.sources)
            stored |= {f"{module}.{e}.{kind}": _stored(model, part) for e, part in parts}
        else:
            stored[ours] = _stored(model, source)
    return stored


def _stored(model: GgufModel, source: TensorSource) -> Stored:
    change: Change = ""
    if isinstance(source, LogOfNegative):
        change, source = "log of negative", source.source
    if isinstance(source, Reshaped):
        change, source = change or "reshaped", source.source
    match source:
        case Rename(name):
            return name, 0, [], change
        case _ if not change and (name := stored_names(source)[0]) in model.tensors:
            n_rows = model.tensors[name].shape[0]
            return name, n_rows, _runs(model, source, n_rows), ""
        case _ if not change:
            return stored_names(source)[0], 0, [], ""  # missing; the engine reports it
        case other:
            raise _unreadable(model, other)


def _runs(model: GgufModel, source: TensorSource, n_rows: int) -> list[tuple[int, int]]:
    """The rows of the stored tensor that `source` consists of, as runs (first, number)."""
    match source:
        case Rename():
            return [(0, n_rows)]
        case Rows(inner, begin, end, axis=0):
            return _between(_runs(model, inner, n_rows), begin, end)
        case Regrouped(inner, n_groups, n_members, axis=0, begin=begin):
            runs = _runs(model, inner, n_rows)
            size = (n_rows - begin) // (n_groups * n_members)
            order = [(g, m) for m in range(n_members) for g in range(n_groups)]
            starts = [begin + (g * n_members + m) * size for g, m in order]
            moved = [run for start in starts for run in _between(runs, start, start + size)]
            return _between(runs, 0, begin) + moved
        case other:
            raise _unreadable(model, other)


def _between(runs: list[tuple[int, int]], begin: int, end: int) -> list[tuple[int, int]]:
    """Rows [begin, end) of the concatenated runs."""
    chosen, at = [], 0
    for first, n in runs:
        low, high = max(begin - at, 0), min(end - at, n)
        if low < high:
            chosen.append((first + low, high - low))
        at += n
    return chosen


def _unreadable(model: GgufModel, source: TensorSource) -> BadInput:
    kind = type(source).__name__
    return BadInput(f"{model.name}: the native engine cannot read a {kind} tensor; use torch")


def _layer(block: Block, rotations: list[AttentionPosition]) -> dict[str, Any]:
    """One block. Raises BadInput for a part that the engine does not have."""
    if block.placement == "post":
        raise BadInput("the native engine has no norm after the residual connection; use torch")
    return {
        "norm": _norm(block.norm),
        "placement": block.placement,
        "attention": None if block.attention is None else _attention(block.attention, rotations),
        "recurrence": None if block.recurrence is None else native_recurrence(block.recurrence),
        "ffn": _ffn(block),
        "residual_scale": block.residual_scale,
        "has_output_scale": block.has_output_scale,
    }


def _attention(attention: Attention, rotations: list[AttentionPosition]) -> dict[str, Any]:
    rotates, query_scale = attention.position != NoPosition(), attention.query_scale
    return {
        "n_heads": attention.n_heads,
        "n_kv_heads": attention.n_kv_heads,
        "d_head": attention.d_head,
        "scale": attention.score_scale,
        "window": attention.window or 0,
        "softcap": attention.softcap or 0.0,
        "rotation": rotations.index(attention.position) if rotates else -1,
        "query_key_norm": _norm(attention.query_key_norm),
        "has_joint_query_key_norm": attention.has_joint_query_key_norm,
        "value_norm": _norm(attention.value_norm),
        "has_output_gate": attention.has_output_gate,
        "has_sink": attention.has_sink,
        "source": -1 if attention.source is None else attention.source,
        "temperature_slope": 0.0 if query_scale is None else query_scale.beta,
        "temperature_interval": 0 if query_scale is None else query_scale.n_positions,
    }


def native_recurrence(recurrence: Recurrence) -> tuple[str, dict[str, float]]:
    """The (kind, numeric fields) pair by which the native engine finds `native/model/recurrence/KIND.cpp`.

    Raises BadInput if there is none.
    """
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
            return {"kind": "mlp", **_gated(Gated(d_ff, activation))}
        case Gated() as gated:
            return {"kind": "gated", **_gated(gated)}
        case ChannelMix(d_ff):
            return {"kind": "mlp", **_gated(Gated(d_ff, "relu")), "is_squared": True, "is_shifted": True}
        case mixture:
            return _mixture(mixture, block)


def _mixture(mixture: MixtureOfExperts, block: Block) -> dict[str, Any]:
    if block.placement != "pre":
        raise BadInput("the native engine runs experts in pre-norm blocks only; use torch")
    expert, shared = mixture.expert, mixture.shared
    if shared is not None and replace(shared, d_ff=expert.d_ff) != expert:
        raise BadInput("the native engine runs a shared network like the experts only; use torch")
    return {
        "kind": "mixture",
        **_gated(expert),
        "n_experts": mixture.n_experts,
        "n_active": mixture.n_active,
        "d_shared": 0 if shared is None else shared.d_ff,
        "has_renormalized_experts": mixture.has_renormalized_weights,
    }


def _gated(gated: Gated) -> dict[str, Any]:
    more = {"limit": gated.limit or 0.0, "up_offset": gated.up_offset}
    more |= {"is_squared": False, "is_shifted": False}
    return {"d_ff": gated.d_ff, **_activation(gated.activation), **more}


def _activation(activation: Activation) -> dict[str, Any]:
    """The kernel and the factor a: the activation is kernel(a * x) / a."""
    if activation == "gelu_sigmoid":  # x * sigmoid(1.702 x)
        return {"activation": "silu", "activation_slope": GELU_SIGMOID_SLOPE}
    return {"activation": activation, "activation_slope": 1.0}


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
