"""JSON files of a model folder, read so that none of them can harm: bounded, strict, no duplicate names."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from zeropoint.errors import BadModelFile, DiskError, OutOfMemory
from zeropoint.files.paths import display_path

__all__ = ["open_regular", "parse_object", "read_bytes", "read_object"]


def read_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """The JSON object in a file of at most max_bytes. Raises BadModelFile with file and fault, DiskError."""
    return parse_object(read_bytes(path, max_bytes), display_path(path))


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """A regular file of at most max_bytes, whole."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise BadModelFile(f"{display_path(path)} has {size} bytes; it may have at most {max_bytes}")
        try:
            return file.read(max_bytes)
        except OSError as error:
            raise DiskError(f"cannot read {display_path(path)}: {error.strerror}") from None


def open_regular(path: Path) -> BinaryIO:
    """Open for reading what is a regular file; a FIFO or device is refused without waiting for it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BadModelFile(f"{display_path(path)} is missing; put it back or fetch it again") from None
    except OSError as error:
        raise DiskError(f"cannot read {display_path(path)}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadModelFile(f"{display_path(path)} is no regular file; give the path of one")
    return os.fdopen(fd, "rb")


def parse_object(data: bytes, name: str) -> dict[str, Any]:
    """The one JSON object that `data` is; `name` is the file for messages."""
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except UnicodeDecodeError as error:
        raise BadModelFile(
            f"{name} is not valid UTF-8 (byte {error.start}); put it back or fetch it again"
        ) from None
    except RecursionError:
        raise BadModelFile(f"{name} is nested too deeply; put it back or fetch it again") from None
    except MemoryError:
        raise OutOfMemory(f"not enough memory to read {name}") from None
    except ValueError as error:  # JSONDecodeError, an endless integer, or one of the hooks below
        raise BadModelFile(
            f"{name} is not valid JSON: {str(error)[:200]!a}; put it back or fetch it again"
        ) from None
    if not isinstance(value, dict):
        raise BadModelFile(f"{name} holds a {type(value).__name__}; it must be a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    for key in made:
        key.encode()  # a lone surrogate is a ValueError too
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice[:60]} occurs twice")
    return made


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")
