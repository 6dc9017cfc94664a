"""How tokens look at each other."""

from __future__ import annotations

from typing import Literal

from zeropoint.blueprint.parts.norm import Norm
from zeropoint.blueprint.parts.position import AttentionPosition, NoPosition
from zeropoint.frozen import frozen

__all__ = ["Attention", "Bias"]

Bias = Literal["none", "qkv", "output", "all"]


@frozen
class Attention:
    """Scaled dot-product attention (Vaswani et al., 2017, section 3.2) in all its published shapes.

    n_heads query heads, n_kv_heads key/value heads (equal: multi-head; fewer: grouped-query, Ainslie et
    al., 2023; 1: multi-query, Shazeer, 2019), each d_head wide.
    is_causal: a token sees itself and those before it. window: of those, only so many (Mistral), None all.
    bias: on query, key and value (qkv), on the output, or on all four.
    query_key_norm: of each head, before rotation (Qwen 3). scale: of scores; None is 1/sqrt(d_head).
    softcap: scores pass cap * tanh(score / cap) (Gemma 2).
    """

    n_heads: int
    n_kv_heads: int
    d_head: int
    position: AttentionPosition = NoPosition()
    is_causal: bool = True
    bias: Bias = "none"
    window: int | None = None
    query_key_norm: Norm | None = None
    scale: float | None = None
    softcap: float | None = None

    @property
    def d_query(self) -> int:
        """Width of all query heads together."""
        return self.n_heads * self.d_head

    @property
    def d_kv(self) -> int:
        """Width of all key (or value) heads together."""
        return self.n_kv_heads * self.d_head

    @property
    def score_scale(self) -> float:
        """What q . k is multiplied with."""
        return self.d_head**-0.5 if self.scale is None else self.scale
