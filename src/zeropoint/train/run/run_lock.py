"""Lock a run folder, so that only one process trains the run; an error names the process that does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from zeropoint.errors import MachineError
from zeropoint.files.locks import exclusive_lock

__all__ = ["lock_run"]


@contextlib.contextmanager
def lock_run(run: Path, rank: int = 0) -> Iterator[None]:
    """Hold the lock of a run's folder on behalf of all workers; only rank 0 takes it.

    Raises MachineError naming the process that holds it and since when; DiskError.
    """
    if rank:
        yield
        return

    def refuse(holder: str) -> None:
        raise MachineError(f"{run} is being trained by {holder}; wait for it or stop it")

    with exclusive_lock(run / "lock", refuse):
        yield
