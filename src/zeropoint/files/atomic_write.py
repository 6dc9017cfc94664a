"""Files and folders that appear whole or not at all: written beside, flushed, then renamed.

`NAME.tmp.<pid>` lies in the same folder as NAME, so the rename never crosses a disk. It is locked while it
is written: the kernel frees the lock of a killed process, and the next writer of NAME removes what it left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zeropoint.errors import BadInput, DiskError
from zeropoint.files.disk import MARGIN_BYTES, free_bytes, fsync_folder, is_full, size_text
from zeropoint.files.paths import display_path

__all__ = [
    "append_lines",
    "atomic_file",
    "atomic_folder",
    "disk_error",
    "replace_file",
    "require_space",
    "write_file",
]

_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_AT_FDCWD = -100  # of fcntl.h


@contextlib.contextmanager
def atomic_file(path: Path, *, need_bytes: int = 0, mode: int = 0o666) -> Iterator[Path]:
    """The path to write at; when the block ends well, what lies there becomes `path`, durably.

    mode: permissions of a file that is new, less the umask. Whoever has the old file open or mapped keeps it.
    Raises BadInput, DiskError; on any error the old file stays.
    """
    temporary = _prepared(path, need_bytes)
    try:
        with _disk_errors(path, need_bytes):
            lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            _lock(lock)
            yield temporary
            with _disk_errors(path, need_bytes):
                os.fsync(lock)
                if path.exists():
                    shutil.copymode(path, temporary)
                os.replace(temporary, path)
                fsync_folder(path.parent)
        finally:
            os.close(lock)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Put a small file in the place of `path`, whole and durably. Raises BadInput, DiskError."""
    with atomic_file(path) as temporary, _disk_errors(path, len(content)):
        temporary.write_bytes(content)


def append_lines(path: Path, *lines: str) -> None:
    """Add lines to a file in one write, flushed to the disk; with none, see that it can be written.

    The file and its folders are made if they are not there. What a full disk left of a last line stays a line
    alone. Raises DiskError.
    """
    text = "".join(f"{line}\n" for line in lines).encode()
    with _disk_errors(path, len(text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            is_cut = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            file.write(b"\n" * is_cut + text)
            os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_folder(path: Path, *, need_bytes: int = 0) -> Iterator[Path]:
    """A folder to fill; when the block ends well, it becomes `path`, in exchange for a folder of that name.

    What is in it must be flushed by whoever wrote it (`write_file` does). Raises DiskError.
    """
    temporary = _prepared(path, need_bytes)
    try:
        with _disk_errors(path, need_bytes):
            temporary.mkdir()
            lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(lock)
            yield temporary
            with _disk_errors(path, need_bytes):
                os.fsync(lock)
                if path.exists():
                    _exchange(temporary, path)
                else:
                    os.rename(temporary, path)
                fsync_folder(path.parent)
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def write_file(path: Path) -> Iterator[BinaryIO]:
    """A file of a folder that is being made, flushed to the disk when the block ends. Raises DiskError."""
    with _disk_errors(path, 0), open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def require_space(path: Path, n_bytes: int) -> None:
    """Refuse before the first byte if the disk of `path` cannot take n_bytes more. Raises DiskError."""
    free = free_bytes(path.parent)
    if free is not None and free < n_bytes + MARGIN_BYTES:
        raise DiskError(
            f"no room for {display_path(path)}: it needs {size_text(n_bytes + MARGIN_BYTES)} and "
            f"{size_text(free)} "
            "are free; free some, or choose a target on another disk"
        )


def disk_error(error: OSError, path: Path, need_bytes: int = 0) -> DiskError:
    """The sentence for a failed read or write of `path`."""
    if is_full(error):
        need = f"; it needs {size_text(need_bytes)}" if need_bytes else ""
        need += f" and {size_text(free_bytes(path.parent))} are free"
        return DiskError(
            f"no room to write {display_path(path)} ({error.strerror}){need}; free some and try again"
        )
    why = error.strerror or type(error).__name__
    return DiskError(f"cannot use {display_path(path)} ({why}); choose a place that you can write")


def _prepared(path: Path, need_bytes: int) -> Path:
    """The temporary name beside `path`, which does not exist; leftovers of killed writers are gone."""
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {display_path(path.parent)}; make it, or choose another target")
    pattern = re.compile(re.escape(path.name) + r"\.tmp\.[0-9]+")
    with _disk_errors(path, need_bytes):
        for other in path.parent.iterdir():
            if pattern.fullmatch(other.name) and not other.is_symlink():
                _remove_if_stale(other)
        require_space(path, need_bytes)
    return path.with_name(f"{path.name}.tmp.{os.getpid()}")


def _remove_if_stale(path: Path) -> None:
    with contextlib.suppress(OSError):  # locked by a living writer, or not ours to remove
        lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        finally:
            os.close(lock)


def _lock(fd: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: leftovers then look stale at once
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _exchange(ours: Path, theirs: Path) -> None:
    """Swap two folders in one step, so that there is always one of that name (Linux, renameat2(2))."""
    library = ctypes.CDLL(None, use_errno=True)
    swap = getattr(library, "renameat2", None)
    if swap is None:
        raise OSError(errno.ENOSYS, "this system cannot exchange two folders; remove the old one first")
    if swap(_AT_FDCWD, os.fsencode(ours), _AT_FDCWD, os.fsencode(theirs), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} while exchanging it with the old folder")


@contextlib.contextmanager
def _disk_errors(path: Path, need_bytes: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, path, need_bytes) from None
