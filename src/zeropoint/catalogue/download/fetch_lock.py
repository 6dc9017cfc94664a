"""One fetch at a time of one model, across processes; who waits is told for whom."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

from zeropoint.catalogue.download.download_files import disk_error
from zeropoint.catalogue.download.progress import Notice

__all__ = ["hold_fetch"]

_POLL_S = 0.1


@contextlib.contextmanager
def hold_fetch(path: Path, what: str, notice: Notice) -> Iterator[None]:
    """Hold the lock file `path`. If another process has it, say which, and wait; Ctrl-C ends that.

    The kernel frees the lock of a killed process, so a lock is never stale. Raises: DiskError.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    holder = path.with_suffix(".holder")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            notice(f"{what} is being fetched by {_read(holder)}; waiting for it")
            lock.acquire(poll_interval=_POLL_S)
    except (OSError, NotImplementedError) as error:
        raise disk_error(error if isinstance(error, OSError) else OSError(str(error)), path) from None
    try:
        with contextlib.suppress(OSError):  # it only serves the notice above
            since = datetime.datetime.now().astimezone().strftime("%H:%M:%S")
            holder.write_text(f"process {os.getpid()} since {since}\n", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8")[:80].strip() or "another process"
    except (OSError, UnicodeDecodeError):
        return "another process"
