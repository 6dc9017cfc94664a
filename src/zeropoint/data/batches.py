"""Batches by number: batch 17 is the same whoever asks, whenever, so resume and workers keep no state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput

__all__ = ["ALL", "Batches", "RandomWindows", "Rows"]

Rows = slice | Sequence[int]
ALL = slice(None)


class Batches(Protocol):
    """What a model learns from, or is judged by.

    n_rows: of a whole batch, that of all workers together.
    """

    @property
    def n_rows(self) -> int: ...

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[Any], ...]:
        """Batch `step`, from 0: arrays with a row each example, of them the rows that are asked for.

        A pure function: the same step and rows give the same numbers.
        """
        ...


@dataclass(frozen=True, eq=False)
class RandomWindows:
    """Windows of a text, drawn anywhere with replacement: ids [B, T], and the ids that come next [B, T].

    ids: the text, also memory-mapped. As in Karpathy's nanoGPT (`get_batch`), where no epoch is ever whole.
    """

    ids: NDArray[Any]
    n_ctx: int
    n_rows: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.ids) <= self.n_ctx:
            raise BadInput(
                f"the text has {len(self.ids)} tokens; windows of {self.n_ctx} need more than that, so give "
                "more text or a smaller n_ctx"
            )

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, next_BT."""
        drawn = np.random.default_rng([self.seed, step]).integers(0, len(self.ids) - self.n_ctx, self.n_rows)
        starts = drawn[rows if isinstance(rows, slice) else list(rows)]
        window = self.ids[starts[:, None] + np.arange(self.n_ctx + 1)].astype(np.int64)
        return window[:, :-1], window[:, 1:]
