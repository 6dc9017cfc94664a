"""How tokens look at each other."""

from __future__ import annotations

from dataclasses import dataclass

from zeropoint.blueprint.parts.position import Rope

__all__ = ["GroupedQueryAttention"]


@dataclass(frozen=True)
class GroupedQueryAttention:
    """Causal attention whose query heads share key/value heads (Ainslie et al., "GQA", 2023).

    n_heads query heads, n_kv_heads key/value heads (equal: multi-head; 1: multi-query), each d_head wide.
    """

    n_heads: int
    n_kv_heads: int
    d_head: int
    position: Rope
