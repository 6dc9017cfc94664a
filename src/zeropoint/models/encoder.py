"""An encoder: every token sees all others, and hidden words are guessed (Devlin et al., "BERT", 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint import Blueprint
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.embed import Embedding
from zeropoint.layers.head import Head
from zeropoint.layers.norm import norm
from zeropoint.layers.place import place
from zeropoint.layers.see import See, show, under
from zeropoint.models.stack import Stack

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """head(blocks(embedding(ids, segments)))."""

    def __init__(self, blueprint: Blueprint, dropout: float = 0.0) -> None:
        super().__init__()
        b = self.blueprint = blueprint
        self.embedding = Embedding(b.embedding, b.n_vocab, b.d_model)
        self.dropout = Dropout(dropout)
        self.blocks = Stack(b.blocks, b.d_model, dropout)
        self.final_norm = norm(b.final_norm, b.d_model) if b.final_norm is not None else None
        self.head = Head(b.head, b.n_vocab, b.d_model, b.blocks[0]) if b.head is not None else None

    def forward(
        self,
        ids_BT: Tensor,
        mask_BT: Tensor | None = None,
        types_BT: Tensor | None = None,
        *,
        see: See | None = None,
    ) -> Tensor:
        """Logits of each token [B, T, V], or the residual stream [B, T, D] for a blueprint with no head.

        mask_BT: 1 for a token, 0 for padding (to the right); types_BT: its segment, by default 0.
        """
        where = place(ids_BT, None, mask_BT)
        x_BTD: Tensor = self.embedding(ids_BT, where.positions_BT, types_BT, under(see, "embedding"))
        x_BTD = self.blocks(self.dropout(x_BTD), where, see=under(see, "blocks"))
        if self.final_norm is not None:
            x_BTD = show(see, "final_norm", self.final_norm(x_BTD))
        if self.head is None:
            return x_BTD
        return show(see, "logits", self.head(x_BTD, self.embedding.weight, under(see, "head")))
