"""How a native engine keeps keys and values: their type, how much memory they may take, and a window."""

from __future__ import annotations

from typing import Any

from zeropoint.blueprint import Block, Blueprint
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.settings import check_cache_type

__all__ = ["PAGE_POSITIONS", "CacheOptions", "context_bytes", "page_bytes"]

PAGE_POSITIONS = 128  # of a page of the cache (native/kernels/kernels.hpp, kChunk)
DEFAULT_SINKS = 4  # Xiao et al., "Efficient streaming language models with attention sinks", 2023, table 2

_ELEMENT_BYTES = {"f32": 4, "int16": 2, "f16": 2, "int8": 1}
_INTEGERS = {"int16", "int8"}
_NO_LIMIT = 2**63 - 1
_IDLE_CONTEXTS = 4  # full contexts of memory kept for texts that may go on, where nothing else is asked for


@frozen
class CacheOptions:
    """What may be asked of a cache; None leaves it to the engine.

    type: "int16", "f16" or "int8"; exact mode keeps float and takes none. memory_mb: most megabytes of all
    pages. window: positions a text keeps, so that it can go on without end; the first `sinks` stay among
    them.
    """

    type: str | None = None
    memory_mb: int | None = None
    window: int | None = None
    sinks: int | None = None

    def __post_init__(self) -> None:
        if self.type is not None:
            check_cache_type(self.type)
        if self.sinks is not None and self.window is None:
            raise BadInput("sinks are the first positions of a window; give --window as well")

    def element(self, is_exact: bool) -> str:
        """The type of an element: "f32", "int16", "f16" or "int8". Raises BadInput."""
        if is_exact and self.type is not None:
            raise BadInput(f"exact mode keeps its cache in float, not {self.type}; leave out --cache-type")
        return "f32" if is_exact else self.type or "int16"

    def most_positions(self, n_ctx: int) -> int:
        """Positions that one text keeps: the context, or a window's whole pages."""
        return n_ctx if self.window is None else min(n_ctx, self.window // PAGE_POSITIONS * PAGE_POSITIONS)

    def native(
        self, blueprint: Blueprint, n_ctx: int, is_exact: bool, available_bytes: int | None
    ) -> dict[str, Any]:
        """What `_native.Engine` is given. available_bytes: memory that is free beside the weights."""
        element = self.element(is_exact)
        context = context_bytes(blueprint, n_ctx, element)
        if self.memory_mb is not None:
            most = most_idle = self.memory_mb * 1_000_000
        else:
            most = _NO_LIMIT if available_bytes is None else max(context, available_bytes // 2)
            most_idle = min(most, _IDLE_CONTEXTS * context)
        return {
            "cache_type": element,
            "most_bytes": most,
            "most_idle_bytes": most_idle,
            "window": self.window or 0,
            "sinks": 0 if self.window is None else DEFAULT_SINKS if self.sinks is None else self.sinks,
        }


def page_bytes(blueprint: Blueprint, element: str) -> int:
    """Bytes of one page: PAGE_POSITIONS keys and values of every layer (native/ops/cache_view.hpp)."""
    return sum(_block_bytes(block, element) for block in blueprint.blocks)


def context_bytes(blueprint: Blueprint, n_ctx: int, element: str) -> int:
    """Bytes of the pages of a full context, or of a full window."""
    return -(-n_ctx // PAGE_POSITIONS) * page_bytes(blueprint, element)


def _block_bytes(block: Block, element: str) -> int:
    d_head = block.attention.d_head
    d_key = d_head + (d_head % 2 if element in _INTEGERS else 0)  # whole pairs
    d_value = -(-d_head // 16) * 16  # whole vectors
    steps = 2 * 4 if element in _INTEGERS else 0  # a float a key and a float a value
    a_position = (d_key + d_value) * _ELEMENT_BYTES[element] + steps
    return PAGE_POSITIONS * block.attention.n_kv_heads * a_position
