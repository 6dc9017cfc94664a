"""What holds for every file that is written, wherever it goes: room, hashes, and renames that stay.

What to do where it fails is said by who writes: `files/atomic_write.py`,
`catalogue/download/download_files.py` (the cache).
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

__all__ = ["MARGIN_BYTES", "free_bytes", "fsync_folder", "is_full", "sha256_of", "size_text"]

MARGIN_BYTES = 16 << 20  # what records, locks and a file system itself need
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full(error: OSError) -> bool:
    """Whether a write failed because there was no room: on the disk, in the quota, or for one file."""
    return error.errno in _FULL


def free_bytes(path: Path) -> int | None:
    """Free bytes on the disk of a path, which need not exist yet; None where that cannot be told."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def size_text(n_bytes: int | None) -> str:
    """A size for people."""
    if n_bytes is None:
        return "an unknown amount"
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex. Raises OSError."""
    import hashlib  # here, because of what it brings: OpenSSL, which a chat has no use for

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
