"""How bytes come to rest on this disk: written beside, flushed, verified, renamed; never half there.

`NAME.tmp.<pid>` is ours and worthless once the lock of its folder is free; `NAME.part` is what a broken
download left to be resumed. Both are only touched by the holder of the folder's lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from zeropoint.catalogue.download.progress import Progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.errors import DiskError, NetworkError
from zeropoint.files.disk import MARGIN_BYTES, free_bytes, fsync_folder, is_full, sha256_of, size_text

__all__ = [
    "append",
    "disk_error",
    "make_folder",
    "need_space",
    "remove_stale",
    "settle",
    "staging",
    "verify",
    "write_whole",
]

CHUNK_BYTES = 1 << 20


class Reader(Protocol):
    """Anything with bytes to take: a response, a member of a wheel, a file."""

    def read(self, n: int, /) -> bytes: ...


def disk_error(error: OSError, path: Path, need_bytes: int | None = None) -> DiskError:
    """The sentence for a failed write or read of `path`: what is wrong and what to do."""
    if is_full(error):
        need = f"; it needs {size_text(need_bytes)}" if need_bytes else ""
        return DiskError(
            f"no room to write {path} ({error.strerror}){need} and {size_text(free_bytes(path))} are free;"
            " free some, or set ZEROPOINT_HOME to a folder on another disk"
        )
    why = error.strerror or type(error).__name__
    return DiskError(f"cannot use {path} ({why}); set ZEROPOINT_HOME to a folder that you can write")


def make_folder(folder: Path) -> None:
    """Create a folder of the cache and its parents. Raises: DiskError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from None


def need_space(folder: Path, n_bytes: int) -> None:
    """Refuse before the first byte if `folder`'s disk cannot take `n_bytes`. Raises: DiskError."""
    free = free_bytes(folder)
    if free is not None and free < n_bytes + MARGIN_BYTES:
        raise DiskError(
            f"no room in {folder}: the download needs {size_text(n_bytes + MARGIN_BYTES)} and "
            f"{size_text(free)} are free; free some, or set ZEROPOINT_HOME to a folder on another disk"
        )


@contextlib.contextmanager
def staging(folder: Path, name: str) -> Iterator[Path]:
    """A folder `NAME.tmp.<pid>` inside `folder`, gone at the end however that comes. Raises: DiskError."""
    path = folder / f"{name}.tmp.{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    try:
        path.mkdir()
    except OSError as error:
        raise disk_error(error, path) from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_stale(folder: Path) -> None:
    """Remove what killed processes left in `folder`; its lock must be held, so nobody is writing there."""
    for path in folder.glob("*.tmp.*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def append(
    reader: Reader,
    path: Path,
    *,
    start: int,
    limit: int,
    progress: Progress,
    total: int | None,
) -> int:
    """Write what `reader` gives to `path` from byte `start` on; returns the file's length.

    What comes after `start + limit` bytes is refused. Raises: DiskError; NetworkError if there is more;
    and whatever the reader raises, with all that came before it on disk.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if start else os.O_TRUNC)
    with _as_disk_error(path, total):
        fd = os.open(path, flags, 0o666)
    try:
        with _as_disk_error(path, total):
            os.ftruncate(fd, start)
            os.lseek(fd, start, os.SEEK_SET)
        done = start
        progress(total, done)
        while chunk := reader.read(CHUNK_BYTES):
            if done + len(chunk) > start + limit:
                raise NetworkError(f"it sends more than the {start + limit:,} bytes that were announced")
            with _as_disk_error(path, total):
                _write_all(fd, chunk)
            done += len(chunk)
            progress(total, done)
        with _as_disk_error(path, total):
            os.fsync(fd)
        return done
    finally:
        os.close(fd)


def verify(path: Path, want: FileRequest) -> str:
    """The sha256 (hex) of `path`. Raises: NetworkError if length or sha256 is not as wanted; DiskError."""
    with _as_disk_error(path, None):
        n_bytes = path.stat().st_size
        if want.n_bytes is not None and n_bytes != want.n_bytes:
            raise NetworkError(f"the file has {n_bytes:,} bytes instead of {want.n_bytes:,}")
        found = sha256_of(path)
    if want.sha256 is not None and found != want.sha256:
        raise NetworkError(f"the file's sha256 is {found} instead of {want.sha256}")
    return found


def settle(temporary: Path, final: Path, want: FileRequest) -> str:
    """Verify a written file and give it its name, durably; returns its sha256. Raises as `verify`."""
    found = verify(temporary, want)
    with _as_disk_error(final, want.n_bytes):
        os.replace(temporary, final)
        fsync_folder(final.parent)
    return found


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: the old or the new file is there at any moment. Raises: DiskError."""
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        with _as_disk_error(path, len(content)):
            fd = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
            )
            try:
                _write_all(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, path)
            fsync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


@contextlib.contextmanager
def _as_disk_error(path: Path, need_bytes: int | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, path, need_bytes) from None
