"""Locks between processes: one fetch of a model at a time, one trainer per run, one writer per output.

The lock is an flock(2) on a file. The kernel releases it when its process ends, however that ends, so a lock
is never stale. The file holds the name of its current holder, for messages. It stays, except that of
`sole_writer`, which would be in the way.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from zeropoint.errors import BadInput
from zeropoint.files.disk_errors import as_disk_error, require_parent
from zeropoint.files.disk_space import OTHER_FOLDER
from zeropoint.files.paths import display_path

__all__ = ["exclusive_lock", "lock_holder", "sole_writer"]

_MAX_HOLDER_BYTES = 80


@contextlib.contextmanager
def exclusive_lock(path: Path, on_busy: Callable[[str], None], remedy: str = OTHER_FOLDER) -> Iterator[None]:
    """Hold the exclusive lock of the file `path`, which is created if needed.

    on_busy: called once with the holder ("process 4711 since 2026-11-30 20:15:00+00:00") if another process
    has the lock. If it returns, wait for the lock (Ctrl-C interrupts); raise from it to refuse instead.
    Raises DiskError if the file cannot be opened or locked.
    """
    with as_disk_error(path, None, remedy):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        with as_disk_error(path, None, remedy):
            is_free = _try_lock(fd)
        if not is_free:
            on_busy(_holder(fd))
            with as_disk_error(path, None, remedy):
                fcntl.flock(fd, fcntl.LOCK_EX)
        _write_holder(fd, _this_process())
        try:
            yield
        finally:
            _write_holder(fd, "")
    finally:
        os.close(fd)


@contextlib.contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Be the only process that writes `path`, through the lock file `.NAME.lock` next to it.

    On a file system without locks, other processes are not noticed. Raises BadInput naming the process that
    writes `path` already, or a missing folder; DiskError.
    """
    target = Path(os.path.abspath(path))  # "." has no name
    require_parent(target)
    lock = target.parent / f".{target.name}.lock"
    fd = _claim(lock, path)
    try:
        _write_holder(fd, _this_process())
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(fd)


def lock_holder(path: Path) -> str | None:
    """The process that holds the lock of the file `path`, as `exclusive_lock` names it; None if it is free.

    A lock whose holder was killed still names it, so the lock is tried, but only then.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_size == 0 or _try_lock(fd, fcntl.LOCK_SH):
            return None
        return _holder(fd)
    except OSError:  # a device, or a file system without locks
        return None
    finally:
        os.close(fd)


def _claim(lock: Path, target: Path) -> int:
    """Create and lock the file `lock`; returns its descriptor. Raises BadInput if another process has it."""
    while True:
        with as_disk_error(target):
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            is_free = _try_lock(fd)
        except OSError:  # a file system without locks
            return fd
        if is_free and _is_at(fd, lock):
            return fd
        holder = _holder(fd)
        os.close(fd)
        if not is_free:
            raise BadInput(
                f"{display_path(target)} is being written by {holder}; wait until it is complete, or choose "
                "another target"
            )
        # Its holder removed the file between our opening and locking it: try again.


def _is_at(fd: int, path: Path) -> bool:
    """Whether `path` is still the opened file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> str:
    return os.pread(fd, _MAX_HOLDER_BYTES, 0).decode("utf-8", "replace").strip() or "another process"


def _this_process() -> str:
    since = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    return f"process {os.getpid()} since {since}\n"


def _write_holder(fd: int, text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk; the name only serves messages
        os.ftruncate(fd, 0)
        os.pwrite(fd, text.encode(), 0)
