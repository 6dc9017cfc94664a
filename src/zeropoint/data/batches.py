"""Batches by number: batch 17 is a pure function of its number, so resuming and sharding need no state."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput

__all__ = ["ALL", "IGNORED", "Batches", "RandomWindows", "Rows", "Shuffled", "Tokens", "check_batch_size"]

Rows = slice | Sequence[int]
ALL = slice(None)
IGNORED = -100  # a target that the loss ignores; the default `ignore_index` of torch's cross-entropy


class Batches(Protocol):
    """A source of batches for training or evaluation. n_rows: the batch size, over all workers."""

    @property
    def n_rows(self) -> int: ...

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[Any], ...]:
        """The given rows of batch `step` (from 0): arrays with one row per example.

        A pure function: the same step and rows always give the same arrays.
        """
        ...


class Tokens(Protocol):
    """Token ids, indexed by slices or integer arrays: an array, or shards that read like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> NDArray[Any]: ...


def check_batch_size(n_rows: int) -> None:
    """Raise BadInput unless `n_rows` is 1 or more."""
    if n_rows < 1:
        raise BadInput(f"the batch size is {n_rows}; expected 1 or more")


def check_windows(ids: Tokens, n_ctx: int, n_rows: int) -> None:
    """Raise BadInput unless batches of `n_rows` windows of `n_ctx` tokens can be cut from `ids`."""
    check_batch_size(n_rows)
    if n_ctx < 1:
        raise BadInput(f"n_ctx is {n_ctx}; expected 1 or more tokens per row")
    if len(ids) <= n_ctx:
        raise BadInput(
            f"the text has {len(ids)} tokens, but rows of n_ctx={n_ctx} need at least {n_ctx + 1}; give more "
            "text or a smaller n_ctx"
        )


@dataclass(frozen=True, eq=False)
class RandomWindows:
    """Windows of a text at random positions, with replacement: inputs [B, T] and next-token targets [B, T].

    The sampling of Karpathy's nanoGPT (`get_batch`); there are no epochs. Raises BadInput for a batch size or
    n_ctx below 1, or too little text.
    """

    ids: Tokens
    n_ctx: int
    n_rows: int
    seed: int

    def __post_init__(self) -> None:
        check_windows(self.ids, self.n_ctx, self.n_rows)

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, target_BT of batch `step`."""
        starts_B = np.random.default_rng([self.seed, step]).integers(
            0, len(self.ids) - self.n_ctx, self.n_rows
        )
        starts_B = starts_B[as_index(rows)]
        window = self.ids[starts_B[:, None] + np.arange(self.n_ctx + 1)].astype(np.int64)
        return window[:, :-1], window[:, 1:]


@dataclass(frozen=True, eq=False)
class Shuffled:
    """Rows of in-memory columns, each once per epoch, in a different order each epoch.

    The last batch of an epoch has the remaining rows. Raises BadInput for a batch size below 1 or no rows.
    """

    columns: Sequence[NDArray[Any]]
    n_rows: int
    seed: int

    def __post_init__(self) -> None:
        check_batch_size(self.n_rows)
        if not self.columns or not len(self.columns[0]):
            raise BadInput("there are no rows to batch; give at least one")

    @property
    def n_batches(self) -> int:
        """Batches per epoch."""
        return -(-len(self.columns[0]) // self.n_rows)

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[Any], ...]:
        """The rows of batch `step`, one array per column."""
        epoch, index = divmod(step, self.n_batches)
        order = _permutation(len(self.columns[0]), self.seed, epoch)
        chosen = order[index * self.n_rows : (index + 1) * self.n_rows][as_index(rows)]
        return tuple(column[chosen] for column in self.columns)


def as_index(rows: Rows) -> slice | list[int]:
    """`rows` as a numpy index."""
    return rows if isinstance(rows, slice) else list(rows)


@functools.lru_cache(maxsize=2)  # an epoch has many batches
def _permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(n)
