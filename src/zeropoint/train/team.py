"""Workers that train one model: which rows each takes, and what they agree on. Alone is a team of one."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["ALONE", "Alone", "Team"]


class Team(Protocol):
    """rank: this worker's number, from 0, whose files are the run's. n_workers: of them all."""

    @property
    def rank(self) -> int: ...

    @property
    def n_workers(self) -> int: ...

    def mean(self, value: Tensor) -> Tensor:
        """The mean over the workers, the same for each."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether it is true for one of them, the same answer for each."""
        ...


class Alone:
    """One worker."""

    rank = 0
    n_workers = 1

    def mean(self, value: Tensor) -> Tensor:
        """The value."""
        return value

    def any(self, flag: bool) -> bool:
        """The flag."""
        return flag


ALONE = Alone()
