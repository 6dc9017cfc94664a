"""Check free disk space before writing, so that a write of 10 GB fails at the start and not at 9.9 GB."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from zeropoint.errors import DiskError
from zeropoint.files.paths import display_path

__all__ = [
    "MARGIN_BYTES",
    "OTHER_FOLDER",
    "file_size_limit",
    "format_bytes",
    "free_bytes",
    "require_space",
]

MARGIN_BYTES = 16 << 20  # for manifests, locks and the file system's own metadata
OTHER_FOLDER = "choose another folder"


def require_space(folder: Path, n_bytes: int, remedy: str = OTHER_FOLDER) -> None:
    """Check that the disk of `folder` can take `n_bytes` more, and a margin of 16 MiB.

    remedy: what else the user can do, for the message ("set ZEROPOINT_HOME to another folder").
    Raises DiskError with both numbers.
    """
    free = free_bytes(folder)
    if free is not None and free < n_bytes + MARGIN_BYTES:
        raise DiskError(
            f"not enough space in {display_path(folder)}: {format_bytes(n_bytes + MARGIN_BYTES)} needed, "
            f"{format_bytes(free)} free; free some space or {remedy}"
        )


def free_bytes(path: Path) -> int | None:
    """Free bytes on the disk that holds `path`, which need not exist yet; None if unknown."""
    for folder in (path, *path.parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def file_size_limit() -> int | None:
    """The largest file that this process may write, in bytes (`ulimit -f`); None if there is no limit."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def format_bytes(n_bytes: int | None) -> str:
    """A size for a message: "98.4 MB", "2.23 GB"."""
    if n_bytes is None:
        return "an unknown amount"
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"
