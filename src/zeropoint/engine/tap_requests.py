"""Check a trace request against the blueprint, before anything runs: taps, heads, lens layers, memory."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence

from zeropoint import _native
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.taps import TapPoint, tap_points
from zeropoint.engine.contract import LogitLens, Tap
from zeropoint.engine.native.model_spec import native_spec
from zeropoint.errors import BadInput, choices

__all__ = ["MAX_TRACE_BYTES", "check_layer", "check_lens", "native_taps", "residual_tap", "select_taps"]

MAX_TRACE_BYTES = 2**30  # of all arrays that one trace returns: they are in memory together with the model


def native_taps(blueprint: Blueprint) -> list[str]:
    """Return the taps that the native engine records of this model, in the order of the forward pass.

    It fuses the others away (native/model/taps.cpp). Raises BadInput if the engine cannot run the model.
    """
    return _native.tap_names(native_spec(blueprint, blueprint.n_ctx))


def select_taps(
    blueprint: Blueprint, n_tokens: int, taps: Sequence[str | Tap], available: Collection[str] | None = None
) -> dict[str, tuple[TapPoint, list[int]]]:
    """Resolve requested taps, which may contain `*`: name to tap point and heads ([] if it has no heads).

    available: the taps that the engine records; None for all taps of the blueprint. Raises BadInput for an
    unknown tap or head, and for arrays of more than MAX_TRACE_BYTES.
    """
    known = {
        name: point
        for name, point in tap_points(blueprint, n_tokens).items()
        if available is None or name in available
    }
    selected: dict[str, tuple[TapPoint, list[int]]] = {}
    for tap in taps:
        tap = Tap(tap) if isinstance(tap, str) else tap
        names = fnmatch.filter(known, tap.point) if "*" in tap.point else [tap.point]
        if not names or names[0] not in known:
            raise BadInput(choices("tap", tap.point, known))
        for name in names:
            selected[name] = (known[name], _heads(name, known[name], tap.heads))
    _check_size(selected)
    return selected


def _heads(name: str, point: TapPoint, heads: Sequence[int] | None) -> list[int]:
    if point.axes[0] not in "HN":
        if heads is not None:
            raise BadInput(f"{name} has no heads; leave heads out")
        return []
    if not heads:
        return list(range(point.shape[0]))
    for head in heads:
        if not 0 <= head < point.shape[0]:
            raise BadInput(f"head {head} is not at {name}; it has heads 0 to {point.shape[0] - 1}")
    return list(heads)


def _check_size(selected: Mapping[str, tuple[TapPoint, list[int]]]) -> None:
    n_bytes = sum(
        4 * math.prod(point.shape) * (len(heads) / point.shape[0] if heads else 1)
        for point, heads in selected.values()
    )
    if n_bytes > MAX_TRACE_BYTES:
        raise BadInput(
            f"the requested taps take {n_bytes / 1e6:.0f} MB; at most {MAX_TRACE_BYTES / 1e6:.0f} MB are "
            "allowed; choose fewer layers or heads, or a shorter text"
        )


def residual_tap(blueprint: Blueprint, layer: int) -> str:
    """Return the tap of the residual stream after a block. Raises BadInput for an unknown layer."""
    check_layer(blueprint, layer)
    return f"blocks.{layer}.{blueprint.blocks[layer].output_tap}"


def check_layer(blueprint: Blueprint, layer: int) -> None:
    """Raise BadInput for an unknown layer."""
    if not 0 <= layer < blueprint.n_layers:
        raise BadInput(f"layer {layer} is not in the model; it has layers 0 to {blueprint.n_layers - 1}")


def check_lens(blueprint: Blueprint, n_tokens: int, lens: LogitLens) -> None:
    """Raise BadInput for an unknown layer or token, and for arrays of more than MAX_TRACE_BYTES."""
    if blueprint.head is None:
        raise BadInput("the model has no language-model head, which the logit lens needs")
    for layer in lens.layers:
        check_layer(blueprint, layer)
    if len(set(lens.layers)) != len(lens.layers):
        raise BadInput("the lens names a layer twice; name each layer once")
    if not 0 <= lens.top <= blueprint.n_vocab:
        raise BadInput(f"top is {lens.top}; expected 0 to {blueprint.n_vocab}, the vocabulary size")
    for token in lens.tokens:
        if not 0 <= token < blueprint.n_vocab:
            raise BadInput(f"token id {token} is outside the vocabulary of {blueprint.n_vocab} tokens")
    width = 2 * lens.top + len(lens.tokens) + 1 + (blueprint.n_vocab if lens.has_logits else 0)
    n_bytes = 4 * width * n_tokens * len(lens.layers)
    if n_bytes > MAX_TRACE_BYTES:
        raise BadInput(
            f"the lens takes {n_bytes / 1e6:.0f} MB; at most {MAX_TRACE_BYTES / 1e6:.0f} MB are allowed; "
            "choose fewer layers, a smaller top or a shorter text"
        )
