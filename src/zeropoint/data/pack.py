"""Documents packed into rows: one after the other, with the token that ends each, cut every n_ctx.

Nothing is padded and nothing is lost: each token is asked for once an epoch. The last row reaches back into
the one before it, so that it is as long as all others, and what that asks for is not asked again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import ALL, IGNORED, Rows, Tokens
from zeropoint.data.permutation import shuffled_indices
from zeropoint.errors import BadInput

__all__ = ["PackedRows"]


@dataclass(frozen=True, eq=False)
class PackedRows:
    """Batches of rows: ids [B, T] and the ids that come next [B, T].

    seed: of an order that is new in every epoch; None takes the rows as they stand, for judging.
    """

    ids: Tokens
    n_ctx: int
    n_rows: int
    seed: int | None

    def __post_init__(self) -> None:
        if len(self.ids) <= self.n_ctx:
            raise BadInput(
                f"the text has {len(self.ids)} tokens; rows of {self.n_ctx} need more than that, so give "
                "more text or a smaller n_ctx"
            )

    @property
    def n_all(self) -> int:
        """Rows of an epoch."""
        return -(-(len(self.ids) - 1) // self.n_ctx)

    @property
    def n_batches(self) -> int:
        """Batches after which every row was there."""
        return -(-self.n_all // self.n_rows)

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, next_BT. A batch may end one epoch and begin the next."""
        first = step * self.n_rows
        if self.seed is None:
            places = np.arange(first, first + self.n_rows) % self.n_all
        else:
            places = shuffled_indices(self.n_all, self.seed, first, self.n_rows)
        begins = places[rows if isinstance(rows, slice) else list(rows)][:, None] * self.n_ctx
        starts = np.minimum(begins, len(self.ids) - self.n_ctx - 1)
        at = starts + np.arange(self.n_ctx + 1)
        window = self.ids[at].astype(np.int64)
        return window[:, :-1], np.where(at[:, 1:] > begins, window[:, 1:], IGNORED)
