"""Taps: the points of a forward pass at which an engine can report a tensor; names and shapes, for every
engine.

A tap with the name of a module is that module's output. Inside attention: `scores` are q k^T * scale,
`capped` scores after the soft cap, `masked` scores plus mask and distance bias, `weights` their softmax, and
`context` the values averaged with these weights; `gate`, before its sigmoid, multiplies them. `ffn.hidden` is
the input of `down`; `after_attention` and `after_ffn` are the residual stream, and `output` is what leaves a
block that does more. Axes: T tokens read in this pass, S all tokens they can attend to (more than T with a KV
cache), C tokens of an encoder-decoder's source, D model width, H query heads, N key/value heads, K head
width, P columns of per-layer inputs, R columns of a recurrence, F feed-forward width, E experts, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import FFN, MLP, ChannelMix, Gated
from zeropoint.blueprint.parts.position import NoPosition, RotaryPosition
from zeropoint.blueprint.parts.recurrence import Recurrence
from zeropoint.blueprint.spec import Block, Blueprint
from zeropoint.frozen import frozen

__all__ = ["TapPoint", "split_point", "tap_points"]

Named = Iterator[tuple[str, str, dict[str, int]]]


@frozen
class TapPoint:
    """One tap. axes: one letter per axis, without the batch axis; shape: their sizes."""

    axes: str
    shape: tuple[int, ...]


def tap_points(
    blueprint: Blueprint, n_tokens: int, *, n_past: int = 0, n_source: int = 0
) -> dict[str, TapPoint]:
    """Names to taps, in the order of the forward pass, for n_tokens read after n_past cached tokens.

    n_source: number of source tokens, for an encoder-decoder.
    """
    sizes = {"T": n_tokens, "S": n_past + n_tokens, "C": n_source, "D": blueprint.d_model}
    sizes["V"] = blueprint.n_vocab
    points = {}
    for name, axes, own in _all(blueprint):
        known = {**sizes, **own}
        points[name] = TapPoint(axes, tuple(known[axis] for axis in axes))
    return points


def split_point(name: str) -> tuple[str, int]:
    """The name of a tap within its block, and the layer; layer -1 for a tap outside `blocks`."""
    if not name.startswith("blocks."):
        return name, -1
    _, layer, short = name.split(".", 2)
    return short, int(layer)


def _all(b: Blueprint) -> Named:
    if b.encoder:
        yield from _embedding("encoder_embedding", b, "C")
        for i, block in enumerate(b.encoder):
            yield from _under(f"encoder.{i}", _block(block, b.d_model, "C", "C"))
        if b.encoder_norm is not None:
            yield "encoder_norm", "CD", {}
    yield from _embedding("embedding", b, "T")
    for i, block in enumerate(b.blocks):
        yield from _under(f"blocks.{i}", _block(block, b.d_model, "T", "S"))
    if b.final_norm is not None:
        yield "final_norm", "TD", {}
    if b.head is None:
        return
    if b.head.has_transform:
        yield "head.transform", "TD", {}
        yield "head.norm", "TD", {}
    yield "logits", "TV", {}


def _embedding(name: str, b: Blueprint, t: str) -> Named:
    yield f"{name}.token", f"{t}D", {}
    if b.embedding.n_types:
        yield f"{name}.segment", f"{t}D", {}
    if b.embedding.position != NoPosition():
        yield f"{name}.position", f"{t}D", {}
    yield f"{name}.output", f"{t}D", {}
    if b.per_layer is not None:
        yield f"{name}.per_layer", f"{t}P", {"P": b.n_layers * b.per_layer.width}


def _block(block: Block, d_model: int, t: str, s: str) -> Named:
    parts: list[tuple[str, Named]] = []
    if block.attention is not None:
        parts.append(("attention", _attention(block.attention, t, t, s)))
    if block.recurrence is not None:
        parts.append(("recurrence", _recurrence(block.recurrence, d_model, t)))
    if block.cross_attention is not None:
        parts.append(("cross_attention", _attention(block.cross_attention, t, "C", "C")))
    if block.ffn is not None:
        parts.append(("ffn", _ffn(block.ffn, t)))
    is_parallel = block.placement == "parallel"
    for name, inner in parts:
        has_norm = block.norm is not None and not (is_parallel and name == "ffn")
        if has_norm and block.placement not in ("post", "output"):
            yield f"{name}_norm", f"{t}D", {}
        yield from _under(name, inner)
        if has_norm and block.placement == "post":
            yield f"{name}_norm", f"{t}D", {}
        if has_norm and block.placement in ("sandwich", "output"):
            yield f"{name}_output_norm", f"{t}D", {}
        if not (is_parallel and name == block.mixer):
            yield f"after_{name}", f"{t}D", {}
    if block.per_layer is not None:
        for name in ("gate", "hidden"):
            yield f"per_layer.{name}", f"{t}P", {"P": block.per_layer.width}
        yield "per_layer.output", f"{t}D", {}
        if block.norm is not None:
            yield "per_layer_norm", f"{t}D", {}
    if block.output_tap == "output":
        yield "output", f"{t}D", {}


def _attention(a: Attention, t: str, new: str, s: str) -> Named:
    """t: axis of the queries; new: axis of the keys computed in this pass; s: axis of all keys."""
    own = {"H": a.n_heads, "N": a.n_kv_heads, "K": a.d_head}
    query, key, table = f"H{t}K", f"N{new}K", f"H{t}{s}"
    is_cross = t != new
    points = [("query", query), ("key", key), ("value", key)]
    if a.query_key_norm is not None:
        points += [("query_norm", query), ("key_norm", key)]
    if a.value_norm is not None:
        points.append(("value_norm", key))
    if isinstance(a.position, RotaryPosition) and not is_cross:
        points += [("query_rotated", query), ("key_rotated", key)]
    if not a.has_keys:
        points = [(name, axes) for name, axes in points if axes != key]
    points.append(("scores", table))
    if a.softcap is not None:
        points.append(("capped", table))
    points += [("masked", table), ("weights", table), ("context", query)]
    if a.has_output_gate:
        points.append(("gate", query))
    points.append(("output", f"{t}D"))
    for name, axes in points:
        yield name, axes, own


def _recurrence(recurrence: Recurrence, d_model: int, t: str) -> Named:
    for name, (width,) in recurrence.taps(d_model):
        yield name, f"{t}R", {"R": width}
    yield "output", f"{t}D", {}


def _ffn(ffn: FFN, t: str) -> Named:
    match ffn:
        case MLP() | ChannelMix():
            inner = [("up", "F"), ("hidden", "F")]
        case Gated():
            inner = [("gate", "F"), ("up", "F"), ("hidden", "F")]
        case _:
            for name in ("router", "router_weights"):
                yield name, f"{t}E", {"E": ffn.n_experts}
            if ffn.shared is not None:
                yield from _under("shared", _ffn(ffn.shared, t))
            yield "output", f"{t}D", {}
            return
    for name, axis in inner:
        yield name, t + axis, {"F": ffn.d_ff}
    yield "output", f"{t}D", {}


def _under(part: str, points: Named) -> Named:
    for name, axes, own in points:
        yield f"{part}.{name}", axes, own
