"""Open and read files that somebody else may have put there: regular files of bounded size only.

A FIFO would block forever and a device such as /dev/zero has no end. The kind is checked after opening, so
that the file cannot be exchanged in between.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedRandom, BufferedReader
from pathlib import Path

from zeropoint.errors import BadInput
from zeropoint.files.paths import display_path

__all__ = ["open_regular", "read_regular"]

_MIN_READ_BYTES = 1 << 16


def open_regular(path: Path, *, for_writing: bool = False) -> BufferedReader | BufferedRandom:
    """Open an existing regular file for reading, without waiting for a writer. Links are followed.

    for_writing: also for writing. Raises OSError as `open` does, BadInput for a folder, FIFO, device or loop
    of links.
    """
    flags = os.O_RDWR if for_writing else os.O_RDONLY
    try:
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise BadInput(f"{display_path(path)} is a link to itself; give the path of a regular file") from None
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            kind = "is a folder" if stat.S_ISDIR(mode) else "is not a regular file"
            raise BadInput(f"{display_path(path)} {kind}; give the path of a regular file")
        return os.fdopen(fd, "rb+") if for_writing else os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most max_bytes. Raises OSError and BadInput as `open_regular`."""
    parts = []
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        n_left = 0 if n_bytes > max_bytes else max_bytes + 1
        # `read` allocates as many bytes as requested: request only the size. Files in /proc report 0.
        while part := file.read(min(n_left, max(n_bytes, _MIN_READ_BYTES))):
            parts.append(part)
            n_left -= len(part)
    if n_bytes > max_bytes or not n_left:
        n_bytes = max(n_bytes, max_bytes + 1)
        raise BadInput(f"{display_path(path)} has {n_bytes} bytes; it may have at most {max_bytes}")
    return b"".join(parts)
