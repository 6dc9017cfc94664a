"""A decoder: text in, and after every token the logits of the next (GPT-2, Llama, Mixtral, phi-2, Gemma)."""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint import Blueprint
from zeropoint.layers.cache import Cache
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.embed import Embedding
from zeropoint.layers.head import Head
from zeropoint.layers.norm import norm
from zeropoint.layers.place import place
from zeropoint.layers.see import See, show, under
from zeropoint.models.stack import Stack

__all__ = ["Decoder"]


class Decoder(nn.Module):
    """head(final_norm(blocks(embedding(ids))))."""

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
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        n_positions: int | None = None,
        see: See | None = None,
    ) -> Tensor:
        """Logits [B, T, V], or the residual stream [B, T, D] for a blueprint with no head.

        cache: what came before; ids are appended to it. mask_BT: 1 for a token, 0 for padding, which belongs
        to the left, so that every sequence ends with a token. n_positions: how long the text may become;
        by default what the cache holds, else T (LongRoPE alone asks).
        Raises ContextFull where the cache, or a table of positions, is too small.
        """
        x_BTD = self.hidden(ids_BT, cache, mask_BT, n_positions=n_positions, see=see)
        if self.head is None:
            return x_BTD
        logits_BTV: Tensor = self.head(x_BTD, self.embedding.weight, under(see, "head"))
        return show(see, "logits", logits_BTV)

    def hidden(
        self,
        ids_BT: Tensor,
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        n_positions: int | None = None,
        see: See | None = None,
    ) -> Tensor:
        """What the head reads: [B, T, D]. Arguments as in `forward`."""
        where = place(ids_BT, cache, mask_BT, n_positions)
        x_BTD: Tensor = self.embedding(ids_BT, where.positions_BT, see=under(see, "embedding"))
        x_BTD = self.blocks(self.dropout(x_BTD), where, cache, see=under(see, "blocks"))
        if self.final_norm is not None:
            x_BTD = show(see, "final_norm", self.final_norm(x_BTD))
        return x_BTD

    def new_cache(self, n_positions: int | None = None) -> Cache:
        """An empty cache of so many positions; by default as many as the model was trained for."""
        return Cache(len(self.blocks), n_positions or self.blueprint.n_ctx)
