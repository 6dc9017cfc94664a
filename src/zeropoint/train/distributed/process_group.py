"""The process group: workers that train one model, the rows each one takes, and how they communicate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["SINGLE_PROCESS", "Loss", "ProcessGroup", "SingleProcess", "local_rows"]

Loss = Callable[..., Tensor]


class ProcessGroup(Protocol):
    """rank: number of this worker; rank 0 writes the run's files. n_workers: number of workers."""

    @property
    def rank(self) -> int: ...

    @property
    def n_workers(self) -> int: ...

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all workers, the same on each."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any worker; also a barrier."""
        ...

    def shard(self, model: nn.Module) -> None:
        """Shard the weights over the workers, if this group does so.

        Call it before building the optimizer.
        """
        ...

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """loss(model, *batch) as a function of the batch.

        Its backward pass averages gradients over workers.
        """
        ...

    def no_sync(self, wrapped_loss: Loss) -> contextlib.AbstractContextManager[Any]:
        """Inside, backward passes accumulate local gradients.

        The next one outside averages them over workers.
        """
        ...


class SingleProcess:
    """A group of one worker."""

    rank = 0
    n_workers = 1

    def sum(self, value: Tensor) -> Tensor:
        """The value itself."""
        return value

    def any(self, flag: bool) -> bool:
        """The flag itself."""
        return flag

    def shard(self, model: nn.Module) -> None:
        """Do nothing."""

    def wrap_loss(self, model: nn.Module, loss: Callable[..., Tensor]) -> Loss:
        """The loss of this model."""
        return lambda *batch: loss(model, *batch)

    def no_sync(self, wrapped_loss: Loss) -> contextlib.AbstractContextManager[Any]:
        """Do nothing: there are no other workers."""
        return contextlib.nullcontext()


SINGLE_PROCESS = SingleProcess()


def local_rows(n_rows: int, group: ProcessGroup) -> slice:
    """The rows of a batch that a worker computes: contiguous, with one row more for the first few workers."""
    n_each, n_over = divmod(n_rows, group.n_workers)
    start = group.rank * n_each + min(group.rank, n_over)
    return slice(start, start + n_each + (group.rank < n_over))
