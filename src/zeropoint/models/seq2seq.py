"""An encoder-decoder: a source is read whole, then an answer is written that looks at it.

The 2017 Transformer (Vaswani et al., figure 1) and T5 (Raffel et al., 2020). One embedding serves source,
answer and head (Vaswani et al., section 3.4).
"""

from __future__ import annotations

from torch import Tensor

from zeropoint.blueprint import Blueprint
from zeropoint.layers.cache import Cache
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import See, show, under
from zeropoint.layers.token_positions import place
from zeropoint.models.base import ModelBase
from zeropoint.models.block import Memory
from zeropoint.models.stack import Stack

__all__ = ["Seq2Seq"]


class Seq2Seq(ModelBase):
    """decode(target, encode(source))."""

    def __init__(self, blueprint: Blueprint, dropout: float = 0.0, attention_dropout: float = 0.0) -> None:
        super().__init__(blueprint, dropout, attention_dropout)
        b = blueprint
        self.encoder = Stack(b.encoder, b.d_model, dropout, attention_dropout)
        self.encoder_norm = norm(b.encoder_norm, b.d_model) if b.encoder_norm is not None else None

    def forward(
        self,
        source_BS: Tensor,
        target_BT: Tensor,
        cache: Cache | None = None,
        source_mask_BS: Tensor | None = None,
        target_mask_BT: Tensor | None = None,
        *,
        see: See | None = None,
    ) -> Tensor:
        """Logits [B, T, V] after each token of the target.

        The masks are 1 for a token, 0 for padding (to the right). A cache remembers the source too: it is
        read once, at the first call.
        """
        if cache is None or cache.memory is None:
            memory_BSD = self.encode(source_BS, source_mask_BS, see=see)
            memories = self.remember(memory_BSD, source_mask_BS, see=see)
            if cache is not None:
                cache.memory = memories
        else:
            memories = cache.memory
        return self.decode(target_BT, memories, cache, target_mask_BT, see=see)

    def encode(self, source_BS: Tensor, mask_BS: Tensor | None = None, *, see: See | None = None) -> Tensor:
        """The encoder's output: [B, S, D]."""
        where = place(source_BS, None, mask_BS)
        x_BSD: Tensor = self.embedding(source_BS, where.positions_BT, see=under(see, "encoder_embedding"))
        x_BSD = self.encoder(self.dropout(x_BSD), where, see=under(see, "encoder"))
        if self.encoder_norm is not None:
            x_BSD = show(see, "encoder_norm", self.encoder_norm(x_BSD))
        return x_BSD

    def remember(
        self, memory_BSD: Tensor, mask_BS: Tensor | None = None, *, see: See | None = None
    ) -> list[Memory | None]:
        """For each block with cross-attention its keys and values of the source, and the source's padding."""
        is_token_BS = None if mask_BS is None else mask_BS.bool()
        memories: list[Memory | None] = []
        for i, block in enumerate(self.blocks):
            crossing, looker = block.cross_attention, under(see, f"blocks.{i}.cross_attention")
            keys_values = None if crossing is None else crossing.keys_values(memory_BSD, looker)
            memories.append(None if keys_values is None else (keys_values, is_token_BS))
        return memories

    def decode(
        self,
        target_BT: Tensor,
        memories: list[Memory | None],
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
        *,
        see: See | None = None,
    ) -> Tensor:
        """Logits [B, T, V], given what `remember` gave."""
        where = place(target_BT, cache, mask_BT)
        x_BTD: Tensor = self.embedding(target_BT, where.positions_BT, see=under(see, "embedding"))
        x_BTD = self.blocks(self.dropout(x_BTD), where, cache, memories, under(see, "blocks"))
        return self.logits(self.normed(x_BTD, see), see)

    def new_cache(self, n_positions: int | None = None) -> Cache:
        """An empty cache of so many target positions; by default as many as the model was trained for."""
        return Cache(len(self.blocks), n_positions or self.blueprint.n_ctx)
