"""Batches with some tokens hidden, for a model that reads both ways (Devlin et al., "BERT", 2018, 3.1).

The model is asked what a share of the tokens was. Of these 8 in 10 are hidden by the mask, 1 is replaced by
any token and 1 stays as it is: where the model is used nothing is hidden, so it must know what it sees too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import ALL, IGNORED, Batches, Rows
from zeropoint.data.text_codec import TextCodec
from zeropoint.errors import BadInput

__all__ = ["MaskedBatches"]

_HIDDEN, _REPLACED = 0.8, 0.1


@dataclass(frozen=True, eq=False)
class MaskedBatches:
    """ids [B, T] with some hidden, and what stood there [B, T], or -100 where that is not asked.

    batches: of which the first array is taken. coding: tells the mask, and control tokens, which are neither
    asked for nor put in a token's place.
    """

    batches: Batches
    codec: TextCodec
    seed: int
    mask_prob: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < self.mask_prob < 1:
            raise BadInput(f"mask_prob is {self.mask_prob}; expected above 0 and below 1")

    @cached_property
    def _plain_ids(self) -> NDArray[np.int64]:
        """Tokens that text becomes."""
        return np.setdiff1d(np.arange(self.codec.n_vocab), sorted(self.codec.control_ids))

    @property
    def n_rows(self) -> int:
        """Of a whole batch."""
        return self.batches.n_rows

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, wanted_BT of step. What is hidden depends on seed and step, not on who takes which rows."""
        was_BT = self.batches.batch(step)[0].astype(np.int64)
        rng = np.random.default_rng([self.seed, step, 2])
        is_asked_BT = rng.random(was_BT.shape) < self.mask_prob
        is_asked_BT &= np.isin(was_BT, self._plain_ids)
        how_BT = rng.random(was_BT.shape)
        any_BT = rng.choice(self._plain_ids, was_BT.shape)
        ids_BT = np.where(is_asked_BT & (how_BT < _HIDDEN), self.codec.mask_id, was_BT)
        is_replaced_BT = is_asked_BT & (how_BT >= _HIDDEN) & (how_BT < _HIDDEN + _REPLACED)
        ids_BT = np.where(is_replaced_BT, any_BT, ids_BT)
        wanted_BT = np.where(is_asked_BT, was_BT, IGNORED)
        wanted = rows if isinstance(rows, slice) else list(rows)
        return ids_BT[wanted], wanted_BT[wanted]
