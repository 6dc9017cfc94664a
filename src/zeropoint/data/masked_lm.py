"""Masked language modelling: hide some tokens and predict them from both sides (Devlin et al., "BERT", 2018).

Section 3.1: 15 % of the tokens are targets. Of these, 80 % are replaced by the mask token, 10 % by a random
token and 10 % are unchanged; no token is masked in use, so the model must also represent visible tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import ALL, IGNORED, Batches, Rows, as_index
from zeropoint.data.text_codec import TextCodec
from zeropoint.errors import BadInput

__all__ = ["MaskedBatches"]

_MASKED, _RANDOM = 0.8, 0.1


@dataclass(frozen=True, eq=False)
class MaskedBatches:
    """Inputs [B, T] with some tokens masked, and targets [B, T]: the original token, or -100 elsewhere.

    batches: their first array is masked. codec: gives the mask token and the control tokens, which are
    neither masked nor used as random replacements. mask_prob: the share of tokens that are targets.
    """

    batches: Batches
    codec: TextCodec
    seed: int
    mask_prob: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < self.mask_prob < 1:
            raise BadInput(f"mask_prob is {self.mask_prob}; expected a number above 0 and below 1")

    @cached_property
    def _text_ids(self) -> NDArray[np.int64]:
        """Every id except those of control tokens."""
        return np.setdiff1d(np.arange(self.codec.n_vocab), sorted(self.codec.control_ids))

    @property
    def n_rows(self) -> int:
        """The batch size."""
        return self.batches.n_rows

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, target_BT of batch `step`. Masking depends on seed and step, not on the selected rows."""
        original_BT = self.batches.batch(step)[0].astype(np.int64)
        rng = np.random.default_rng([self.seed, step, 2])
        is_target_BT = rng.random(original_BT.shape) < self.mask_prob
        is_target_BT &= np.isin(original_BT, self._text_ids)
        draw_BT = rng.random(original_BT.shape)
        random_BT = rng.choice(self._text_ids, original_BT.shape)
        ids_BT = np.where(is_target_BT & (draw_BT < _MASKED), self.codec.mask_id, original_BT)
        is_random_BT = is_target_BT & (draw_BT >= _MASKED) & (draw_BT < _MASKED + _RANDOM)
        ids_BT = np.where(is_random_BT, random_BT, ids_BT)
        target_BT = np.where(is_target_BT, original_BT, IGNORED)
        return ids_BT[as_index(rows)], target_BT[as_index(rows)]
