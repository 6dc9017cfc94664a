"""`Blueprint`: one declarative description of a model. Sizes carry the names used everywhere else."""

from __future__ import annotations

from dataclasses import dataclass

from zeropoint.blueprint.parts.attention import GroupedQueryAttention
from zeropoint.blueprint.parts.ffn import SwiGLU
from zeropoint.blueprint.parts.norm import RMSNorm

__all__ = ["Block", "Blueprint"]


@dataclass(frozen=True)
class Block:
    """One layer: norm, attention, add; norm, feed-forward, add."""

    attention: GroupedQueryAttention
    ffn: SwiGLU
    norm: RMSNorm


@dataclass(frozen=True)
class Blueprint:
    """A decoder: embedding, `blocks`, final norm, head.

    d_model: width of the residual stream; n_vocab: tokens; n_ctx: positions it was trained for.
    has_tied_head: the head is the embedding matrix.
    """

    family: str
    d_model: int
    n_vocab: int
    n_ctx: int
    blocks: tuple[Block, ...]
    final_norm: RMSNorm
    has_tied_head: bool

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)
