"""A decoder: after every token, the logits of the next one (GPT-2, Llama, Mixtral, phi-2, Gemma)."""

from __future__ import annotations

from torch import Tensor

from zeropoint.layers.cache import Cache
from zeropoint.layers.token_positions import token_positions
from zeropoint.models.base import ModelBase

__all__ = ["Decoder"]


class Decoder(ModelBase):
    """logits = head(final_norm(blocks(embedding(ids))))."""

    def forward(
        self,
        ids_BT: Tensor,
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        n_positions: int | None = None,
        document_BT: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, T, V], or the residual stream [B, T, D] for a blueprint without a head.

        cache: the KV cache of earlier tokens; ids are appended to it. mask_BT: 1 for a token, 0 for padding;
        pad on the left, so that every sequence ends with a token. n_positions: length that the text may
        reach; by default the cache's capacity, else T (only LongRoPE and dynamic NTK use it). document_BT:
        index of the document each token belongs to, if several share a row: each attends only to itself and
        starts at position 0; raises BadInput together with a cache or mask. Raises ContextFull if the cache
        or a position table is too small.
        """
        return self.logits(
            self.hidden(ids_BT, cache, mask_BT, n_positions=n_positions, document_BT=document_BT)
        )

    def hidden(
        self,
        ids_BT: Tensor,
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        n_positions: int | None = None,
        document_BT: Tensor | None = None,
    ) -> Tensor:
        """The final hidden states, which the head reads: [B, T, D]. Arguments as in `forward`."""
        positions = token_positions(ids_BT, cache, mask_BT, n_positions, document_BT)
        x_BTD: Tensor = self.embedding(ids_BT, positions.positions_BT)
        per_layer_BTLP = self.embedding.per_layer_inputs(ids_BT, x_BTD)
        x_BTD = self.blocks(self.dropout(x_BTD), positions, cache, per_layer_BTLP=per_layer_BTLP)
        return self.normalize(x_BTD)

    def new_cache(self, n_positions: int | None = None) -> Cache:
        """An empty KV cache for n_positions tokens; by default the model's training context."""
        return Cache(self.blueprint.blocks, n_positions or self.blueprint.n_ctx)
