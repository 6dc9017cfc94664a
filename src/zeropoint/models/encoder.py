"""An encoder: every token attends to all others, to predict masked words (Devlin et al., "BERT", 2018)."""

from __future__ import annotations

from torch import Tensor

from zeropoint.layers.token_positions import token_positions
from zeropoint.models.base import ModelBase

__all__ = ["Encoder"]


class Encoder(ModelBase):
    """logits = head(blocks(embedding(ids, segments)))."""

    def forward(
        self, ids_BT: Tensor, mask_BT: Tensor | None = None, types_BT: Tensor | None = None
    ) -> Tensor:
        """Logits of each token [B, T, V], or the residual stream [B, T, D] for a blueprint without a head.

        mask_BT: 1 for a token, 0 for padding (on the right). types_BT: segment of each token, by default 0.
        """
        return self.logits(self.hidden(ids_BT, mask_BT, types_BT))

    def hidden(self, ids_BT: Tensor, mask_BT: Tensor | None = None, types_BT: Tensor | None = None) -> Tensor:
        """The final hidden states, which the head reads: [B, T, D]. Arguments as in `forward`."""
        positions = token_positions(ids_BT, None, mask_BT)
        x_BTD: Tensor = self.embedding(ids_BT, positions.positions_BT, types_BT)
        x_BTD = self.blocks(self.dropout(x_BTD), positions)
        return self.normalize(x_BTD)
