"""Lock a run folder, so that only one process trains the run; an error names the process that does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from zeropoint.errors import MachineError
from zeropoint.files.locks import exclusive_lock, lock_holder

__all__ = ["lock_run", "locked_runs"]

_LOCK = "lock"


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

    with exclusive_lock(run / _LOCK, refuse):
        yield


def locked_runs(folder: Path) -> Iterator[tuple[Path, str]]:
    """The runs in `folder`, and in its subfolders, that a process is training now: (run, process)."""
    for path in sorted({*folder.glob(f"*/{_LOCK}"), *folder.glob(f"*/*/{_LOCK}")}):
        if (holder := lock_holder(path)) is not None:
            yield path.parent, holder
