"""Write downloads to the cache: append to a `.part` file, verify size and SHA-256, then rename.

`NAME.part` is an interrupted download to resume; `NAME.tmp.<pid>` is scratch space of one process and
worthless once it has ended. Only the holder of the folder's lock touches either.
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
from zeropoint.files import disk_errors
from zeropoint.files.hashing import sha256_of

__all__ = [
    "OTHER_HOME",
    "append",
    "create_folder",
    "disk_error",
    "publish",
    "remove_partial",
    "remove_stale",
    "scratch_folder",
    "verify",
]

CHUNK_BYTES = 1 << 20
OTHER_HOME = "set ZEROPOINT_HOME to another folder"


class Reader(Protocol):
    """A source of bytes: an HTTP response, a member of a wheel, a file."""

    def read(self, n: int, /) -> bytes: ...


def disk_error(error: OSError, path: Path, need_bytes: int | None = None) -> DiskError:
    """The DiskError for a failed read or write in the cache."""
    return disk_errors.disk_error(error, path, need_bytes, OTHER_HOME)


def create_folder(folder: Path) -> None:
    """Create a folder of the cache and its parents. Raises DiskError."""
    with _as_disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def scratch_folder(folder: Path, name: str) -> Iterator[Path]:
    """Create `NAME.tmp.<pid>` in `folder` and remove it when the block ends. Raises DiskError."""
    path = folder / f"{name}.tmp.{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    with _as_disk_error(path):
        path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def remove_stale(folder: Path) -> None:
    """Remove scratch space that killed processes left in `folder`. Hold the folder's lock when calling."""
    for path in folder.glob("*.tmp.*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def remove_partial(folder: Path) -> None:
    """Remove what an interrupted download left in `folder`, once another source had the model."""
    for path in folder.glob("*.gguf.part*"):
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
    """Copy `reader` to `path` from byte `start` on; return the file's length in bytes.

    limit: bytes to accept from the reader. Raises NetworkError if it sends more, DiskError, and any error of
    the reader itself; everything read before that is on disk.
    """
    # not blocking: a FIFO of that name, which nobody reads, is an error
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    flags |= 0 if start else os.O_TRUNC
    with _as_disk_error(path, total):
        fd = os.open(path, flags, 0o666)
    try:
        with _as_disk_error(path, total):
            os.ftruncate(fd, start)
            os.lseek(fd, start, os.SEEK_SET)
        n_bytes = start
        progress(total, n_bytes)
        while chunk := reader.read(CHUNK_BYTES):
            if n_bytes + len(chunk) > start + limit:
                raise NetworkError(f"the server sends more than the announced {start + limit:,} bytes")
            with _as_disk_error(path, total):
                _write_all(fd, chunk)
            n_bytes += len(chunk)
            progress(total, n_bytes)
        with _as_disk_error(path, total):
            os.fsync(fd)
        return n_bytes
    finally:
        os.close(fd)


def verify(path: Path, request: FileRequest) -> str:
    """The SHA-256 (hex) of `path`. Raises NetworkError if it or the size does not match, DiskError."""
    with _as_disk_error(path):
        n_bytes = path.stat().st_size
        if request.n_bytes is not None and n_bytes != request.n_bytes:
            raise NetworkError(f"the file has {n_bytes:,} bytes instead of {request.n_bytes:,}")
        sha256 = sha256_of(path)
    if request.sha256 is not None and sha256 != request.sha256:
        raise NetworkError(f"the file's sha256 is {sha256} instead of {request.sha256}")
    return sha256


def publish(temporary: Path, final: Path, request: FileRequest) -> str:
    """Verify a complete download, rename it to `final` durably and return its SHA-256. Raises as `verify`."""
    from zeropoint.files.atomic_write import fsync_folder

    sha256 = verify(temporary, request)
    with _as_disk_error(final, request.n_bytes):
        os.replace(temporary, final)
        fsync_folder(final.parent)
    return sha256


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _as_disk_error(path: Path, need_bytes: int | None = None) -> contextlib.AbstractContextManager[None]:
    return disk_errors.as_disk_error(path, need_bytes, OTHER_HOME)
