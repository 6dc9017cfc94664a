"""Turn an OSError of a read or write into a DiskError that names the path, the cause and a remedy."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from zeropoint.errors import DiskError
from zeropoint.files.disk_space import OTHER_FOLDER, format_bytes, free_bytes
from zeropoint.files.paths import display_path

__all__ = ["as_disk_error", "disk_error"]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # disk full, quota reached, file too large


def disk_error(
    error: OSError, path: Path, need_bytes: int | None = None, remedy: str = OTHER_FOLDER
) -> DiskError:
    """The DiskError for a failed read or write of `path`.

    need_bytes: size of the complete file, if known. remedy: what else the user can do.
    """
    reason = error.strerror or type(error).__name__
    if error.errno in _NO_SPACE:
        need = f"{format_bytes(need_bytes)} needed, " if need_bytes else ""
        return DiskError(
            f"not enough space to write {display_path(path)} ({reason}): {need}"
            f"{format_bytes(free_bytes(path.parent))} free; free some space or {remedy}"
        )
    return DiskError(f"cannot use {display_path(path)} ({reason}); check its permissions or {remedy}")


@contextlib.contextmanager
def as_disk_error(path: Path, need_bytes: int | None = None, remedy: str = OTHER_FOLDER) -> Iterator[None]:
    """Raise every OSError of the block as `disk_error` of these arguments."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path, need_bytes, remedy) from None
