"""A decoder: text in, and after every token the logits of the next (GPT-2, Llama, Mixtral, phi-2, Gemma)."""

from __future__ import annotations

from torch import Tensor

from zeropoint.layers.cache import Cache
from zeropoint.layers.taps import See, under
from zeropoint.layers.token_positions import place
from zeropoint.models.base import ModelBase

__all__ = ["Decoder"]


class Decoder(ModelBase):
    """head(final_norm(blocks(embedding(ids))))."""

    def forward(
        self,
        ids_BT: Tensor,
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        n_positions: int | None = None,
        document_BT: Tensor | None = None,
        see: See | None = None,
    ) -> Tensor:
        """Logits [B, T, V], or the residual stream [B, T, D] for a blueprint with no head.

        cache: what came before; ids are appended to it. mask_BT: 1 for a token, 0 for padding, which belongs
        to the left, so that every sequence ends with a token. n_positions: how long the text may become;
        by default what the cache holds, else T (LongRoPE alone asks). document_BT: to which of the documents
        that share its row a token belongs; each sees itself alone and begins at position 0, and neither cache
        nor mask can be given. Raises BadInput where one is.
        Raises ContextFull where the cache, or a table of positions, is too small.
        """
        x_BTD = self.hidden(ids_BT, cache, mask_BT, n_positions=n_positions, document_BT=document_BT, see=see)
        return self.logits(x_BTD, see)

    def hidden(
        self,
        ids_BT: Tensor,
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        n_positions: int | None = None,
        document_BT: Tensor | None = None,
        see: See | None = None,
    ) -> Tensor:
        """What the head reads: [B, T, D]. Arguments as in `forward`."""
        where = place(ids_BT, cache, mask_BT, n_positions, document_BT)
        x_BTD: Tensor = self.embedding(ids_BT, where.positions_BT, see=under(see, "embedding"))
        x_BTD = self.blocks(self.dropout(x_BTD), where, cache, see=under(see, "blocks"))
        return self.normed(x_BTD, see)

    def new_cache(self, n_positions: int | None = None) -> Cache:
        """An empty cache of so many positions; by default as many as the model was trained for."""
        return Cache(len(self.blocks), n_positions or self.blueprint.n_ctx)
