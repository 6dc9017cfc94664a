"""The KV cache of the native engine: its number format, its size in memory, and its attention window."""

from __future__ import annotations

from typing import Any

from zeropoint.blueprint import Block, Blueprint
from zeropoint.engine_options import EngineOptions

__all__ = [
    "PAGE_POSITIONS",
    "cache_element",
    "cached_positions",
    "context_bytes",
    "native_cache",
    "page_bytes",
]

PAGE_POSITIONS = 128  # of a page of the cache (native/kernels/kernels.hpp, kChunk)
DEFAULT_SINKS = 4  # Xiao et al., "Efficient streaming language models with attention sinks", 2023, table 2

_ELEMENT_BYTES = {"f32": 4, "int16": 2, "f16": 2, "int8": 1}
_INTEGERS = {"int16", "int8"}
_NO_LIMIT = 2**63 - 1
_IDLE_CONTEXTS = 4  # full contexts of memory for idle texts that may continue, unless cache_memory says more


def cache_element(options: EngineOptions) -> str:
    """The number format of keys and values: "f32" in exact mode, else "int16", "f16" or "int8"."""
    return "f32" if options.exact else options.cache_type or "int16"


def cached_positions(options: EngineOptions, n_ctx: int) -> int:
    """Positions of one text that the cache holds: the context, or the window in full pages."""
    if options.window is None:
        return n_ctx
    return min(n_ctx, options.window // PAGE_POSITIONS * PAGE_POSITIONS)


def native_cache(
    options: EngineOptions, blueprint: Blueprint, n_ctx: int, available_bytes: int | None
) -> dict[str, Any]:
    """The cache arguments of `_native.Engine`. available_bytes: free memory once the weights are loaded."""
    element = cache_element(options)
    context = context_bytes(blueprint, n_ctx, element)
    if options.cache_memory is not None:
        most = most_idle = options.cache_memory * 1_000_000
    else:
        most = _NO_LIMIT if available_bytes is None else max(context, available_bytes // 2)
        most_idle = min(most, _IDLE_CONTEXTS * context)
    sinks = DEFAULT_SINKS if options.sinks is None else options.sinks
    return {
        "cache_type": element,
        "most_bytes": most,
        "most_idle_bytes": most_idle,
        "window": options.window or 0,
        "sinks": 0 if options.window is None else sinks,
    }


def page_bytes(blueprint: Blueprint, element: str) -> int:
    """Bytes of one page: PAGE_POSITIONS keys and values of every layer (native/ops/cache_view.hpp)."""
    return sum(_block_bytes(block, element) for block in blueprint.blocks)


def context_bytes(blueprint: Blueprint, n_ctx: int, element: str) -> int:
    """Bytes of the pages of a full context, or of a full window."""
    return -(-n_ctx // PAGE_POSITIONS) * page_bytes(blueprint, element)


def _block_bytes(block: Block, element: str) -> int:
    d_head = block.attention.d_head
    d_key = d_head + (d_head % 2 if element in _INTEGERS else 0)  # rounded up to pairs
    d_value = -(-d_head // 16) * 16  # rounded up to vectors
    steps = 2 * 4 if element in _INTEGERS else 0  # one float of scale per key and one per value
    a_position = (d_key + d_value) * _ELEMENT_BYTES[element] + steps
    return PAGE_POSITIONS * block.attention.n_kv_heads * a_position
