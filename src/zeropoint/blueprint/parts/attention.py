"""Attention: each token reads from other tokens, weighted by the similarity of its query to their keys."""

from __future__ import annotations

from typing import Literal

from zeropoint.blueprint.parts.norm import Norm
from zeropoint.blueprint.parts.position import AttentionPosition, NoPosition
from zeropoint.frozen import frozen

__all__ = ["Attention", "Bias", "QueryScale"]

Bias = Literal["none", "qkv", "output", "all"]


@frozen
class QueryScale:
    """Multiplies queries by 1 + beta ln(1 + floor(position / n_positions)), after rotation (Llama 4, 2025).

    Softmax over more keys is flatter, so queries grow with the text beyond its length in training.
    """

    beta: float
    n_positions: int


@frozen
class Attention:
    """Scaled dot-product attention, softmax(q k^T * scale) v, per head (Vaswani et al., 2017, section 3.2).

    n_heads query heads share n_kv_heads key/value heads, each d_head wide. Equal numbers are multi-head
    attention, fewer key/value heads grouped-query (Ainslie et al., 2023), one multi-query (Shazeer, 2019).

    is_causal: a token attends only to itself and earlier tokens.
    window: ... and only to the last `window` of these (Mistral's sliding window); None for all.
    bias: biases of the query, key and value projections ("qkv"), of the output projection, or of all four.
    query_key_norm: normalizes each query and key head before rotation (Qwen 3).
    has_joint_query_key_norm: that norm covers all query heads together, and all key heads (OLMo 2).
    has_sink: a learned logit per head takes part in the softmax and has no value, so that a head can attend
    to nothing (gpt-oss).
    has_output_gate: each head's output is multiplied by sigmoid(gate(x)) (Qwen 3.5; Qiu et al., "Gated
    Attention for Large Language Models", 2025).
    scale: factor of the scores; None for 1/sqrt(d_head).
    softcap: limits the scores to cap * tanh(score / cap) (Gemma 2).
    query_scale: makes queries grow with the position (Ministral 3); None for no such factor.
    value_norm: normalizes each value head (Gemma 4).
    source: an earlier block, by number, whose keys and values this one reads; it has none of its own
    (Gemma 4). None for its own.
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
    has_joint_query_key_norm: bool = False
    has_sink: bool = False
    query_scale: QueryScale | None = None
    value_norm: Norm | None = None
    source: int | None = None
    has_output_gate: bool = False

    @property
    def has_keys(self) -> bool:
        """Whether it computes and caches keys and values of its own."""
        return self.source is None

    @property
    def d_query(self) -> int:
        """Width of all query heads together."""
        return self.n_heads * self.d_head

    @property
    def d_kv(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.n_kv_heads * self.d_head

    @property
    def query_norm_width(self) -> int:
        """Number of columns that the norm of queries covers."""
        return self.d_query if self.has_joint_query_key_norm else self.d_head

    @property
    def key_norm_width(self) -> int:
        """Number of columns that the norm of keys covers."""
        return self.d_kv if self.has_joint_query_key_norm else self.d_head

    @property
    def score_scale(self) -> float:
        """The factor of q . k, with the default filled in."""
        return self.d_head**-0.5 if self.scale is None else self.scale
