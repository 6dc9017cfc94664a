"""Sequence packing: concatenate documents, each with its end token, and cut a row every n_ctx tokens.

There is no padding, and each token is a target exactly once per epoch. The last row starts early enough to be
full; the targets that it shares with the row before are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import ALL, IGNORED, Rows, Tokens, as_index, check_windows
from zeropoint.data.permutation import shuffled_indices

__all__ = ["PackedRows"]


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Batches of packed rows: inputs [B, T] and next-token targets [B, T].

    seed: of a new order of rows in every epoch; None keeps the order of the text, for evaluation. Raises
    BadInput for a batch size or n_ctx below 1, or too little text.
    """

    ids: Tokens
    n_ctx: int
    n_rows: int
    seed: int | None

    def __post_init__(self) -> None:
        check_windows(self.ids, self.n_ctx, self.n_rows)

    @property
    def n_epoch_rows(self) -> int:
        """Rows per epoch."""
        return -(-(len(self.ids) - 1) // self.n_ctx)

    @property
    def n_batches(self) -> int:
        """Batches that cover every row once."""
        return -(-self.n_epoch_rows // self.n_rows)

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, target_BT of batch `step`, which may end one epoch and start the next."""
        first = step * self.n_rows
        if self.seed is None:
            indices_B = np.arange(first, first + self.n_rows) % self.n_epoch_rows
        else:
            indices_B = shuffled_indices(self.n_epoch_rows, self.seed, first, self.n_rows)
        begins_B1 = indices_B[as_index(rows)][:, None] * self.n_ctx
        starts_B1 = np.minimum(begins_B1, len(self.ids) - self.n_ctx - 1)
        positions = starts_B1 + np.arange(self.n_ctx + 1)
        window = self.ids[positions].astype(np.int64)
        return window[:, :-1], np.where(positions[:, 1:] > begins_B1, window[:, 1:], IGNORED)
