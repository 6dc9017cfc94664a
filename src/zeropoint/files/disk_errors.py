"""Turn an OSError of a read or write into a DiskError that names the path, the cause and a remedy."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from zeropoint.errors import BadInput, DiskError
from zeropoint.files.disk_space import OTHER_FOLDER, file_size_limit, format_bytes, free_bytes
from zeropoint.files.paths import display_path

__all__ = ["as_disk_error", "disk_error", "require_parent"]

_TEMPORARY = re.compile(r"\.tmp\.[0-9]+(?=/|$)")  # of atomic_write
_REMEDIES = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EROFS: "the disk is read-only, so {remedy}",
    errno.EIO: "the disk may be failing: check it, or {remedy}",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}


def disk_error(
    error: OSError, path: Path, need_bytes: int | None = None, remedy: str = OTHER_FOLDER
) -> DiskError:
    """The DiskError for a failed read or write of `path`; of a temporary name, its final name is shown.

    need_bytes: size of the complete file, if known. remedy: what else the user can do.
    """
    name = display_path(Path(_TEMPORARY.sub("", os.fspath(path))))
    reason = error.strerror or type(error).__name__
    if error.errno == errno.EFBIG:
        return _too_large(name, need_bytes, remedy)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = f"{format_bytes(need_bytes)} needed, " if need_bytes else ""
        cause = "free some space" if error.errno == errno.ENOSPC else "your quota is used up: free some space"
        return DiskError(
            f"not enough space to write {name} ({reason}): {need}"
            f"{format_bytes(free_bytes(path.parent))} free; {cause} or {remedy}"
        )
    known = _REMEDIES.get(error.errno or 0, "check its permissions or {remedy}")
    return DiskError(f"cannot use {name} ({reason}); {known.format(remedy=remedy)}")


def require_parent(path: Path, remedy: str = OTHER_FOLDER) -> None:
    """Check that the folder of `path` exists. Raises BadInput."""
    if not path.parent.is_dir():
        raise BadInput(f"there is no folder {display_path(path.parent)}; create it or {remedy}")


def _too_large(name: str, need_bytes: int | None, remedy: str) -> DiskError:
    size = f"have {format_bytes(need_bytes)}, more" if need_bytes else "be larger"
    if (limit := file_size_limit()) is not None:
        shown = format_bytes(limit) if limit >= 1_000_000 else f"{limit:,} bytes"
        return DiskError(
            f"{name} would {size} than this shell's limit of {shown}; raise it with `ulimit -f unlimited`"
        )
    return DiskError(f"{name} would {size} than its file system allows; use another disk, or {remedy}")


@contextlib.contextmanager
def as_disk_error(path: Path, need_bytes: int | None = None, remedy: str = OTHER_FOLDER) -> Iterator[None]:
    """Raise every OSError of the block as `disk_error` of these arguments."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path, need_bytes, remedy) from None
