"""What every model is made of: an embedding, blocks, a final norm and a head; each adds how it is called."""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint import Blueprint
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.embed import Embedding
from zeropoint.layers.head import Head
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import See, show, under
from zeropoint.models.stack import Stack

__all__ = ["ModelBase"]


class ModelBase(nn.Module):
    """The parts, and the two steps after the last block. final_norm, head: None where there is none."""

    def __init__(self, blueprint: Blueprint, dropout: float = 0.0, attention_dropout: float = 0.0) -> None:
        super().__init__()
        b = self.blueprint = blueprint
        self.embedding = Embedding(b.embedding, b.n_vocab, b.d_model)
        self.dropout = Dropout(dropout)
        self.blocks = Stack(b.blocks, b.d_model, dropout, attention_dropout)
        self.final_norm = norm(b.final_norm, b.d_model) if b.final_norm is not None else None
        self.head = Head(b.head, b.n_vocab, b.d_model, b.blocks[0]) if b.head is not None else None

    def normed(self, x_BTD: Tensor, see: See | None = None) -> Tensor:
        """What the head reads: [B, T, D]."""
        return x_BTD if self.final_norm is None else show(see, "final_norm", self.final_norm(x_BTD))

    def logits(self, x_BTD: Tensor, see: See | None = None) -> Tensor:
        """[B, T, V] of what `normed` gave, or that itself for a blueprint with no head."""
        if self.head is None:
            return x_BTD
        return show(see, "logits", self.head(x_BTD, self.embedding.weight, under(see, "head")))
