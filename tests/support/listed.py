"""Batches that a test writes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zeropoint.data.batches import ALL, Rows


@dataclass(frozen=True, eq=False)
class Listed:
    """Batch k is the k-th of the list, from the first again after the last."""

    batches: Sequence[tuple[Tensor, ...]]

    @property
    def n_rows(self) -> int:
        return len(self.batches[0][0])

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.generic], ...]:
        taken = rows if isinstance(rows, slice) else list(rows)
        return tuple(column.numpy()[taken] for column in self.batches[step % len(self.batches)])
