"""Batches by number: batch 17 is the same whoever asks, whenever, so resume and workers keep no state."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput

__all__ = ["ALL", "IGNORED", "Batches", "RandomWindows", "Rows", "Shuffled", "Tokens"]

Rows = slice | Sequence[int]
ALL = slice(None)
IGNORED = -100  # a target that is not asked for: torch's own mark


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


class Tokens(Protocol):
    """A text as ids, taken by slices or arrays of places: an array, or shards that read as one."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: Any, /) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class RandomWindows:
    """Windows of a text, drawn anywhere with replacement: ids [B, T], and the ids that come next [B, T].

    As in Karpathy's nanoGPT (`get_batch`), where no epoch is ever whole.
    """

    ids: Tokens
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


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Rows of columns that lie in memory: each once an epoch, in an order of its own.

    The last batch of an epoch has what is left.
    """

    columns: Sequence[NDArray[Any]]
    n_rows: int
    seed: int

    @property
    def n_batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.columns[0]) // self.n_rows)

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[Any], ...]:
        """The columns' rows of batch `step`."""
        epoch, at = divmod(step, self.n_batches)
        order = _permutation(len(self.columns[0]), self.seed, epoch)
        chosen = order[at * self.n_rows : (at + 1) * self.n_rows]
        chosen = chosen[rows if isinstance(rows, slice) else list(rows)]
        return tuple(column[chosen] for column in self.columns)


@functools.lru_cache(maxsize=2)  # an epoch has many batches
def _permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(n)
