"""One trainer to a run: a lock that the kernel frees with its process, and who has it."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from zeropoint.errors import MachineError
from zeropoint.files.atomic_write import disk_error

__all__ = ["hold_run"]


@contextlib.contextmanager
def hold_run(run: Path, rank: int = 0) -> Iterator[None]:
    """Hold the run's folder, for all its workers: the first, rank 0, has the lock.

    Raises MachineError naming the holder, its process and since when; DiskError.
    """
    if rank:
        yield
        return
    path = run / "lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise disk_error(error, path) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 80, 0).decode("utf-8", "replace").strip() or "another process"
            raise MachineError(f"{run} is being trained by {holder}; wait for it, or stop it") from None
        since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        with contextlib.suppress(OSError):  # a full disk: it only serves the message above
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"process {os.getpid()} since {since}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
