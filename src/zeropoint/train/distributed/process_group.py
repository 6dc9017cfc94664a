"""Workers that train one model: which rows each takes, and what they agree on. Alone is a team of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["SINGLE_PROCESS", "Loss", "ProcessGroup", "SingleProcess", "local_rows"]

Loss = Callable[..., Tensor]


class ProcessGroup(Protocol):
    """rank: this worker's number, from 0, whose files are the run's. n_workers: of them all."""

    @property
    def rank(self) -> int: ...

    @property
    def n_workers(self) -> int: ...

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the workers, the same for each."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether it is true for one of them, the same answer for each; all have come this far then."""
        ...

    def shard(self, model: nn.Module) -> None:
        """Cut the weights over the workers, where the team does that; before an optimizer is made."""
        ...

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """loss(model, *batch) as a function of the batch, whose backward pass averages over workers."""
        ...

    def no_sync(self, wrap_loss: Loss) -> contextlib.AbstractContextManager[Any]:
        """Passes inside only add to this worker's own gradients; the next one outside averages the sum."""
        ...


class SingleProcess:
    """One worker."""

    rank = 0
    n_workers = 1

    def sum(self, value: Tensor) -> Tensor:
        """The value."""
        return value

    def any(self, flag: bool) -> bool:
        """The flag."""
        return flag

    def shard(self, model: nn.Module) -> None:
        """Leave the weights where they are."""

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """The loss of this model."""
        return lambda *batch: loss(model, *batch)

    def no_sync(self, wrap_loss: Loss) -> contextlib.AbstractContextManager[Any]:
        """Nothing to do: gradients are its own."""
        return contextlib.nullcontext()


SINGLE_PROCESS = SingleProcess()


def local_rows(n_rows: int, group: ProcessGroup) -> slice:
    """The rows of a batch that a worker takes: a piece in order, one row longer for the first few."""
    n_each, n_over = divmod(n_rows, group.n_workers)
    start = group.rank * n_each + min(group.rank, n_over)
    return slice(start, start + n_each + (group.rank < n_over))
