"""Read a model folder's JSON files safely: bounded size, strict JSON, no duplicate keys."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from zeropoint.errors import BadModelFile, DiskError, OutOfMemory
from zeropoint.files.paths import display_path

__all__ = ["open_regular", "parse_json_object", "read_bytes", "read_json_object"]


def read_json_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object from a file of at most max_bytes. Raises BadModelFile, DiskError."""
    return parse_json_object(read_bytes(path, max_bytes), display_path(path))


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of at most max_bytes completely."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise BadModelFile(f"{display_path(path)} has {size} bytes; it may have at most {max_bytes}")
        try:
            return file.read(max_bytes)
        except OSError as error:
            raise DiskError(f"cannot read {display_path(path)}: {error.strerror}") from None


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; rejects a FIFO or device without blocking on it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BadModelFile(f"{display_path(path)} is missing; put it back or fetch it again") from None
    except OSError as error:
        raise DiskError(f"cannot read {display_path(path)}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BadModelFile(f"{display_path(path)} is not a regular file; pass the path of one")
    return os.fdopen(fd, "rb")


def parse_json_object(data: bytes, name: str) -> dict[str, Any]:
    """Parse `data` as one JSON object; `name` is the file's name in messages."""
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
    except ValueError as error:  # JSONDecodeError, an integer of too many digits, or a hook below
        raise BadModelFile(
            f"{name} is not valid JSON: {str(error)[:200]!a}; put it back or fetch it again"
        ) from None
    if not isinstance(value, dict):
        raise BadModelFile(f"{name} contains a {type(value).__name__}; it must be a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    for key in items:
        key.encode()  # raises UnicodeEncodeError, a ValueError, on a lone surrogate
    if len(items) != len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {duplicate[:60]} occurs twice")
    return items


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")
