"""What every model consists of: an embedding, a stack of blocks, a final norm and a head."""

from __future__ import annotations

from torch import Tensor

from zeropoint.blueprint import Blueprint
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.embedding import Embedding
from zeropoint.layers.head import Head
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import Tapped, record
from zeropoint.models.multi_token_prediction import MultiTokenPrediction
from zeropoint.models.stack import Stack

__all__ = ["ModelBase"]


class ModelBase(Tapped):
    """The modules, and the two steps after the last block. final_norm, head: None if absent."""

    def __init__(self, blueprint: Blueprint, dropout: float = 0.0, attention_dropout: float = 0.0) -> None:
        super().__init__()
        b = self.blueprint = blueprint
        self.embedding = Embedding(b.embedding, b.n_vocab, b.d_model, b.blocks)
        self.dropout = Dropout(dropout)
        self.blocks = Stack(b.blocks, b.d_model, dropout, attention_dropout)
        self.final_norm = norm(b.final_norm, b.d_model) if b.final_norm is not None else None
        self.mtp = MultiTokenPrediction(b.mtp, b.d_model) if b.mtp is not None else None
        self.head = Head(b.head, b.n_vocab, b.d_model, b.blocks[0]) if b.head is not None else None

    def normalize(self, x_BTD: Tensor) -> Tensor:
        """What the head reads: the residual stream after the final norm, [B, T, D]."""
        return x_BTD if self.final_norm is None else self.final_norm(x_BTD)

    def logits(self, x_BTD: Tensor) -> Tensor:
        """Logits [B, T, V] of what `normalize` returns, or x unchanged for a blueprint without a head."""
        if self.head is None:
            return x_BTD
        logits_BTV: Tensor = self.head(x_BTD, self.embedding.weight)
        record(self.taps, logits=logits_BTV)
        return logits_BTV
