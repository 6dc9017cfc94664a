"""Read a model folder's files safely: regular, of bounded size, and strict JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from zeropoint.errors import BadInput, BadModelFile, DiskError, OutOfMemory
from zeropoint.files import regular_file
from zeropoint.files.json_text import parse_json
from zeropoint.files.paths import display_path

__all__ = ["open_regular", "parse_json_object", "read_bytes", "read_json_object", "stand_in"]


def read_json_object(path: Path, max_bytes: int, *, allows_constants: bool = False) -> dict[str, Any]:
    """Read a JSON object from a file of at most max_bytes. Raises BadModelFile, DiskError.

    allows_constants: accept Infinity and NaN, as `parse_json` does.
    """
    return parse_json_object(
        read_bytes(path, max_bytes), display_path(path), allows_constants=allows_constants
    )


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of at most max_bytes completely. Raises BadModelFile, DiskError."""
    with _as_model_file(path):
        return regular_file.read_regular(path, max_bytes)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading, without blocking. Raises BadModelFile, DiskError."""
    with _as_model_file(path):
        return regular_file.open_regular(path)


def parse_json_object(data: bytes, name: str, *, allows_constants: bool = False) -> dict[str, Any]:
    """Parse `data` as one JSON object; `name` is the file's name in messages. Raises BadModelFile."""
    try:
        value = parse_json(data, allows_constants=allows_constants)
    except MemoryError:
        raise OutOfMemory(f"not enough memory to read {name}") from None
    except ValueError as error:
        if what := stand_in(data):
            raise BadModelFile(f"{name} {what}") from None
        raise BadModelFile(
            f"{name} is not valid JSON: {str(error)[:200]!a}; put it back or fetch it again"
        ) from None
    if not isinstance(value, dict):
        raise BadModelFile(f"{name} contains a {type(value).__name__}; it must be a JSON object")
    return value


def stand_in(head: bytes) -> str | None:
    """What a file is that a clone or a download left in place of the real one, judged by its first bytes."""
    start = head[:8].lower()
    if start == b"version ":  # continues "https://git-lfs..."
        return "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder"
    if start.startswith((b"<!doctyp", b"<html")):
        return "is an HTML page, not the file; the address may need a login, so fetch it again"
    return None


@contextlib.contextmanager
def _as_model_file(path: Path) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise BadModelFile(str(error)) from None
    except FileNotFoundError:
        raise BadModelFile(f"{display_path(path)} is missing; put it back or fetch it again") from None
    except OSError as error:
        raise DiskError(f"cannot read {display_path(path)}: {error.strerror}") from None
