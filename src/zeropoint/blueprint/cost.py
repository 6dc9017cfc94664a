"""What a blueprint costs to hold and to run, by arithmetic alone."""

from __future__ import annotations

import math

from zeropoint.blueprint.spec import Blueprint
from zeropoint.blueprint.tensors import parameters

__all__ = ["cache_bytes", "count_parameters", "decode_flops"]


def count_parameters(blueprint: Blueprint) -> int:
    """Number of stored weights; a tied head counts once."""
    return sum(math.prod(shape) for shape in parameters(blueprint).values())


def cache_bytes(blueprint: Blueprint, n_positions: int, element_bytes: int = 2) -> int:
    """Bytes of keys and values for so many positions (2 bytes an element: half precision)."""
    widths = (b.attention.n_kv_heads * b.attention.d_head for b in blueprint.blocks)
    return 2 * n_positions * element_bytes * sum(widths)


def decode_flops(blueprint: Blueprint, n_positions: int) -> int:
    """Floating-point operations of one token after n_positions others: 2 a weight, 4 a cached column."""
    shapes = parameters(blueprint)
    head = shapes.get("head.weight", shapes["embedding.weight"])
    matrices = sum(
        math.prod(s)
        for name, s in shapes.items()
        if len(s) == 2 and name not in ("embedding.weight", "head.weight")
    )
    attention = sum(b.attention.n_heads * b.attention.d_head for b in blueprint.blocks)
    return 2 * (matrices + math.prod(head)) + 4 * n_positions * attention
