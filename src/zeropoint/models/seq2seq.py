"""An encoder-decoder: encode a source once, then generate an answer that attends to it.

The 2017 Transformer (Vaswani et al., figure 1) and T5 (Raffel et al., 2020). Source, answer and head share
one embedding (Vaswani et al., section 3.4).
"""

from __future__ import annotations

from torch import Tensor

from zeropoint.blueprint import Blueprint
from zeropoint.layers.cache import Cache, Memory
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import renamed
from zeropoint.layers.token_positions import token_positions
from zeropoint.models.base import ModelBase
from zeropoint.models.stack import Stack

__all__ = ["Seq2Seq"]


class Seq2Seq(ModelBase):
    """logits = decode(target, memories(encode(source)))."""

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
    ) -> Tensor:
        """Logits [B, T, V] after each token of the target.

        The masks are 1 for a token, 0 for padding (on the right). A cache stores the encoded source too, so
        only the first call encodes it.
        """
        if cache is None or cache.memory is None:
            memories = self.memories(self.encode(source_BS, source_mask_BS), source_mask_BS)
            if cache is not None:
                cache.memory = memories
        else:
            memories = cache.memory
        return self.decode(target_BT, memories, cache, target_mask_BT)

    def encode(self, source_BS: Tensor, mask_BS: Tensor | None = None) -> Tensor:
        """The encoder's output: [B, S, D]."""
        positions = token_positions(source_BS, None, mask_BS)
        embedding = renamed(self.embedding, "encoder_embedding")  # taps name the two uses differently
        x_BSD: Tensor = self.encoder(self.dropout(embedding(source_BS, positions.positions_BT)), positions)
        return x_BSD if self.encoder_norm is None else self.encoder_norm(x_BSD)

    def memories(self, encoded_BSD: Tensor, mask_BS: Tensor | None = None) -> list[Memory | None]:
        """For each block with cross-attention, keys and values of the source and its padding mask."""
        padding_mask_BS = None if mask_BS is None else mask_BS.bool()
        return [
            None
            if block.cross_attention is None
            else (block.cross_attention.keys_values(encoded_BSD), padding_mask_BS)
            for block in self.blocks
        ]

    def decode(
        self,
        target_BT: Tensor,
        memories: list[Memory | None],
        cache: Cache | None = None,
        mask_BT: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, T, V]. memories: what the method `memories` returns."""
        positions = token_positions(target_BT, cache, mask_BT)
        x_BTD: Tensor = self.embedding(target_BT, positions.positions_BT)
        x_BTD = self.blocks(self.dropout(x_BTD), positions, cache, memories)
        return self.logits(self.normalize(x_BTD))

    def new_cache(self, n_positions: int | None = None) -> Cache:
        """An empty KV cache for n_positions target tokens; by default the model's training context."""
        return Cache(self.blueprint.blocks, n_positions or self.blueprint.n_ctx)
