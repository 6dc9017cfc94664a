"""The KV cache of the native engine: element type, memory limits and attention window."""

from __future__ import annotations

from typing import Any, Literal

from zeropoint import _native
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.ffn import ChannelMix
from zeropoint.engine.native.model_spec import native_recurrence
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput

__all__ = [
    "cache_element",
    "cached_positions",
    "context_bytes",
    "native_cache",
]

DEFAULT_SINKS = 4  # Xiao et al., "Efficient streaming language models with attention sinks", 2023, table 2

_LayerCache = tuple[Literal["pages", "window", "state", "shared"], int, int, int, int, int]

_NO_LIMIT = 2**63 - 1
_IDLE_CONTEXTS = 4  # full contexts of memory for idle texts that may continue, unless cache_memory says more


def cache_element(options: EngineOptions) -> str:
    """The element type of keys and values: "f32" in exact mode, else "int16", "f16" or "int8"."""
    if options.exact:
        return _native.EXACT_CACHE_TYPE
    return options.cache_type or _native.DEFAULT_CACHE_TYPE


def cached_positions(options: EngineOptions, n_ctx: int) -> int:
    """Positions of one text that the cache holds: the context, or the window in full pages."""
    if options.window is None:
        return n_ctx
    return min(n_ctx, options.window // _native.PAGE_POSITIONS * _native.PAGE_POSITIONS)


def native_cache(
    options: EngineOptions, blueprint: Blueprint, n_ctx: int, available_bytes: int | None
) -> dict[str, Any]:
    """The cache arguments of `_native.Engine`. available_bytes: free memory once the weights are loaded."""
    context = _sequence_bytes(blueprint, cache_element(options), n_ctx)
    if options.cache_memory is not None:
        max_bytes = max_idle_bytes = options.cache_memory * 1_000_000
    else:
        max_bytes = _NO_LIMIT if available_bytes is None else max(context, available_bytes // 2)
        max_idle_bytes = min(max_bytes, _IDLE_CONTEXTS * context)
    return {
        "cache_type": cache_element(options),
        "max_bytes": max_bytes,
        "max_idle_bytes": max_idle_bytes,
        "window": options.window or 0,
        "sinks": _sinks(options),
    }


def context_bytes(blueprint: Blueprint, options: EngineOptions, n_ctx: int) -> int:
    """Bytes of the cache of one full context, or of a full window: `NativeEngine.cache_bytes`.

    Counts pages of keys and values, for a layer with a sliding window those that it keeps, and two copies of
    recurrent states: before and after a pass.
    """
    n_sinks = -(-_sinks(options) // _native.PAGE_POSITIONS) * _native.PAGE_POSITIONS
    return _sequence_bytes(blueprint, cache_element(options), cached_positions(options, n_ctx), n_sinks)


def _sinks(options: EngineOptions) -> int:
    if options.window is None:
        return 0
    return DEFAULT_SINKS if options.sinks is None else options.sinks


def _sequence_bytes(blueprint: Blueprint, element: str, n_positions: int, n_sinks: int = 0) -> int:
    layers = [_layer_cache(block, blueprint.d_model) for block in blueprint.blocks]
    return _native.cache_bytes(element, layers, n_positions, n_sinks)


def _layer_cache(block: Block, d_model: int) -> _LayerCache:
    """The cache of a block, as `_native.cache_bytes` takes it."""
    if block.recurrence is not None:
        n_floats = _native.state_floats(*native_recurrence(block.recurrence), d_model)
        n_floats += d_model if isinstance(block.ffn, ChannelMix) else 0
        return "state", 0, 0, 0, n_floats, 0
    attention = block.attention
    if attention is None:
        raise BadInput("a block has neither attention nor a recurrence; set one of them")
    if attention.source is not None:
        return "shared", 0, 0, 0, 0, attention.source
    kind: Literal["pages", "window"] = "window" if attention.window else "pages"
    return kind, attention.n_kv_heads, attention.d_head, attention.window or 0, 0, 0
