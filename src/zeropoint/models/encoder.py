"""An encoder: every token sees all others, and hidden words are guessed (Devlin et al., "BERT", 2018)."""

from __future__ import annotations

from torch import Tensor

from zeropoint.layers.taps import See, under
from zeropoint.layers.token_positions import place
from zeropoint.models.base import ModelBase

__all__ = ["Encoder"]


class Encoder(ModelBase):
    """head(blocks(embedding(ids, segments)))."""

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
        return self.logits(self.normed(x_BTD, see), see)
