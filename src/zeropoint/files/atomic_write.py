"""Write files and folders atomically and durably: to a temporary name, flushed, then renamed.

A reader sees the old content or the new, never a part. The temporary `NAME.tmp.<pid>` is in the folder of
NAME, so the rename never crosses file systems. It is locked while it is written; the kernel releases the lock
of a killed process, and the next writer of NAME then removes the leftover.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zeropoint.files.disk_errors import as_disk_error, disk_error, require_parent
from zeropoint.files.disk_space import OTHER_FOLDER, file_size_limit, require_space

__all__ = [
    "append_lines",
    "atomic_file",
    "atomic_folder",
    "fsync_folder",
    "replace_file",
    "write_file",
]

_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_AT_FDCWD = -100  # of fcntl.h


@contextlib.contextmanager
def atomic_file(
    path: Path, *, need_bytes: int = 0, mode: int = 0o666, remedy: str = OTHER_FOLDER
) -> Iterator[Path]:
    """Yield a temporary path to write to; when the block succeeds, rename that file to `path`, durably.

    need_bytes: the size to check free space for. mode: permissions of a new file, less the umask; an existing
    file keeps its own. A process that has the old file open or mapped continues to see its content.
    remedy: what else the user can do if the disk fails. Raises BadInput if the folder does not exist,
    DiskError; after any error the old file is unchanged.
    """
    temporary = _prepare(path, need_bytes, remedy)
    if need_bytes > (file_size_limit() or need_bytes):
        raise disk_error(OSError(errno.EFBIG, "File too large"), path, need_bytes, remedy)
    try:
        with as_disk_error(path, need_bytes, remedy):
            lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            _lock(lock)
            yield temporary
            with as_disk_error(path, need_bytes, remedy):
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


def replace_file(path: Path, content: bytes, remedy: str = OTHER_FOLDER) -> None:
    """Write a small file atomically and durably. Raises BadInput, DiskError."""
    with atomic_file(path, remedy=remedy) as temporary, as_disk_error(path, len(content), remedy):
        temporary.write_bytes(content)


def append_lines(path: Path, *lines: str) -> None:
    """Append lines to a file, flushed to disk; without lines, check that it can be written.

    Creates the file and its folders if they do not exist. If a full disk cut the last line of an earlier
    call, that partial line stays on a line of its own. Raises DiskError.
    """
    text = "".join(f"{line}\n" for line in lines).encode()
    with as_disk_error(path, len(text)):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            is_cut = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            rest = b"\n" * is_cut + text
            while rest:  # an almost full disk takes a part of it first
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_folder(path: Path, *, need_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary folder to fill; when the block succeeds, rename it to `path`, durably.

    An existing folder `path` is exchanged in one step, then removed. Write the files with `write_file`, or
    flush them yourself. Raises BadInput if the parent folder does not exist, DiskError.
    """
    temporary = _prepare(path, need_bytes)
    try:
        with as_disk_error(path, need_bytes):
            temporary.mkdir()
            lock = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(lock)
            yield temporary
            with as_disk_error(path, need_bytes):
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
    """Open a new file inside an `atomic_folder`; flush it to disk when the block ends. Raises DiskError."""
    with as_disk_error(path), open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power failure. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _prepare(path: Path, need_bytes: int, remedy: str = OTHER_FOLDER) -> Path:
    """Remove leftovers of killed writers, check free space and return the temporary path."""
    require_parent(path, remedy)
    pattern = re.compile(re.escape(path.name) + r"\.tmp\.[0-9]+")
    with as_disk_error(path, need_bytes, remedy):
        for other in path.parent.iterdir():
            if pattern.fullmatch(other.name) and not other.is_symlink():
                _remove_if_stale(other)
        require_space(path.parent, need_bytes, remedy)
    return path.with_name(f"{path.name}.tmp.{os.getpid()}")


def _remove_if_stale(path: Path) -> None:
    with contextlib.suppress(OSError):  # locked by a living writer, or owned by another user
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
    with contextlib.suppress(OSError):  # a file system without locks: another writer sees a leftover
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step, so that the name always exists (Linux, renameat2(2))."""
    import ctypes  # only here: slow to import, and most writes are of files

    library = ctypes.CDLL(None, use_errno=True)
    renameat2 = getattr(library, "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, "this system cannot exchange two folders; remove the old one first")
    if renameat2(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _EXCHANGE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} while exchanging it with the old folder")
