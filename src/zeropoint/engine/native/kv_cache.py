"""The KV cache of the native engine: element type, memory limits and attention window."""

from __future__ import annotations

from typing import Any

from zeropoint import _native
from zeropoint.blueprint import Blueprint
from zeropoint.engine_options import EngineOptions

__all__ = [
    "cache_element",
    "cached_positions",
    "context_bytes",
    "native_cache",
    "page_bytes",
]

DEFAULT_SINKS = 4  # Xiao et al., "Efficient streaming language models with attention sinks", 2023, table 2

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
    element = cache_element(options)
    context = context_bytes(blueprint, n_ctx, element)
    if options.cache_memory is not None:
        max_bytes = max_idle_bytes = options.cache_memory * 1_000_000
    else:
        max_bytes = _NO_LIMIT if available_bytes is None else max(context, available_bytes // 2)
        max_idle_bytes = min(max_bytes, _IDLE_CONTEXTS * context)
    sinks = DEFAULT_SINKS if options.sinks is None else options.sinks
    return {
        "cache_type": element,
        "max_bytes": max_bytes,
        "max_idle_bytes": max_idle_bytes,
        "window": options.window or 0,
        "sinks": 0 if options.window is None else sinks,
    }


def page_bytes(blueprint: Blueprint, element: str) -> int:
    """Bytes of one cache page: keys and values of `_native.PAGE_POSITIONS` positions in every layer."""
    return sum(_native.page_bytes(element, 1, a.n_kv_heads, a.d_head) for a in blueprint.attentions)


def context_bytes(blueprint: Blueprint, n_ctx: int, element: str) -> int:
    """Bytes of the pages of n_ctx positions: a full context, or a full window."""
    return -(-n_ctx // _native.PAGE_POSITIONS) * page_bytes(blueprint, element)
