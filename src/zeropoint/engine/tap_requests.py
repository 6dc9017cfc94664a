"""What is wanted of a look inside, checked against the blueprint before anything runs."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.ffn import MixtureOfExperts
from zeropoint.blueprint.taps import TapPoint, split_point, tap_points
from zeropoint.engine.contract import LogitLens, Tap
from zeropoint.errors import BadInput, choices

__all__ = ["MOST_BYTES", "check_layer", "check_lens", "native_points", "stream_after", "wanted_reads"]

MOST_BYTES = 2**30  # of all that one look returns: it must lie in memory beside the model

# What the native engine shows of a block; it fuses the rest away (native/model/taps.cpp has the same list).
_NATIVE = {
    "attention_norm",
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.key_rotated",
    "attention.weights",
    "attention.mix",
    "attention.output",
    "attention_output_norm",
    "after_attention",
    "ffn_norm",
    "ffn.up",
    "ffn.hidden",
    "ffn.output",
    "ffn_output_norm",
    "after_ffn",
}
_OF_ONE_FFN = {"ffn_norm", "ffn.up", "ffn.hidden", "ffn.output", "ffn_output_norm"}  # not of many experts
_OVERWRITTEN = {"attention.output", "ffn.output"}  # by the norm that follows in a sandwich


def native_points(blueprint: Blueprint) -> list[str]:
    """The points that the native engine shows of this model, in the order of the forward pass."""
    return [name for name in tap_points(blueprint, 1) if _is_native(blueprint, name)]


def _is_native(blueprint: Blueprint, name: str) -> bool:
    short, layer = split_point(name)
    if layer < 0:
        return name in ("embedding.output", "logits")
    block = blueprint.blocks[layer]
    if isinstance(block.ffn, MixtureOfExperts) and short in _OF_ONE_FFN:
        return False
    if block.placement == "sandwich" and short in _OVERWRITTEN:
        return False
    return short in _NATIVE


def wanted_reads(
    blueprint: Blueprint, n_tokens: int, taps: Sequence[str | Tap], shown: Collection[str] | None = None
) -> dict[str, tuple[TapPoint, list[int]]]:
    """Each point that is wanted: its tap, and the heads (none for a point without heads).

    shown: the points that the engine shows, by default all. Raises BadInput.
    """
    known = {
        name: tap for name, tap in tap_points(blueprint, n_tokens).items() if shown is None or name in shown
    }
    wanted: dict[str, tuple[TapPoint, list[int]]] = {}
    for read in taps:
        read = Tap(read) if isinstance(read, str) else read
        names = fnmatch.filter(known, read.point) if "*" in read.point else [read.point]
        if not names or names[0] not in known:
            raise BadInput(choices("point to read", read.point, known))
        for name in names:
            wanted[name] = (known[name], _heads(name, known[name], read.heads))
    _check_size(wanted)
    return wanted


def _heads(name: str, tap: TapPoint, heads: Sequence[int] | None) -> list[int]:
    if tap.axes[0] not in "HN":
        if heads is not None:
            raise BadInput(f"{name} has no heads; leave heads out")
        return []
    if not heads:
        return list(range(tap.shape[0]))
    for head in heads:
        if not 0 <= head < tap.shape[0]:
            raise BadInput(f"head {head} is not at {name}; it has heads 0 to {tap.shape[0] - 1}")
    return list(heads)


def _check_size(wanted: Mapping[str, tuple[TapPoint, list[int]]]) -> None:
    n_bytes = sum(
        4 * math.prod(tap.shape) * (len(heads) / tap.shape[0] if heads else 1)
        for tap, heads in wanted.values()
    )
    if n_bytes > MOST_BYTES:
        raise BadInput(
            f"what is to be seen takes {n_bytes / 1e6:.0f} MB and {MOST_BYTES / 1e6:.0f} are allowed; "
            "choose fewer layers or heads, or a shorter text"
        )


def stream_after(blueprint: Blueprint, layer: int) -> str:
    """The point of the residual stream after a block. Raises BadInput for a layer that is not there."""
    check_layer(blueprint, layer)
    return f"blocks.{layer}.{'after_attention' if blueprint.blocks[layer].ffn is None else 'after_ffn'}"


def check_layer(blueprint: Blueprint, layer: int) -> None:
    """Raises BadInput for a layer that is not there."""
    if not 0 <= layer < blueprint.n_layers:
        raise BadInput(f"layer {layer} is not in the model; it has layers 0 to {blueprint.n_layers - 1}")


def check_lens(blueprint: Blueprint, n_tokens: int, lens: LogitLens) -> None:
    """Raises BadInput for a layer or token that is not there, and for more than memory should hold."""
    if blueprint.head is None:
        raise BadInput("the model has no head, through which a lens looks")
    for layer in lens.layers:
        check_layer(blueprint, layer)
    if len(set(lens.layers)) != len(lens.layers):
        raise BadInput("a layer stands twice in the lens; name each once")
    if not 0 <= lens.top <= blueprint.n_vocab:
        raise BadInput(f"top is {lens.top}; expected 0 to {blueprint.n_vocab}, the vocabulary")
    for token in lens.tokens:
        if not 0 <= token < blueprint.n_vocab:
            raise BadInput(f"token id {token} is outside the vocabulary of {blueprint.n_vocab}")
    width = 2 * lens.top + len(lens.tokens) + 1 + (blueprint.n_vocab if lens.has_logits else 0)
    n_bytes = 4 * width * n_tokens * len(lens.layers)
    if n_bytes > MOST_BYTES:
        raise BadInput(
            f"the lens takes {n_bytes / 1e6:.0f} MB and {MOST_BYTES / 1e6:.0f} are allowed; "
            "choose fewer layers, a smaller top or a shorter text"
        )
