"""Parse JSON that somebody else may have written: strict, without duplicate keys, bounded in nesting."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from zeropoint.files.regular_file import read_regular

__all__ = ["parse_json", "read_json"]

_MAX_DEPTH = 100
_MAX_DIGITS = 100  # tokenizer_config.json files contain 10**30


def read_json(path: Path, max_bytes: int) -> Any:
    """The content of a JSON file of at most max_bytes. Raises OSError, BadInput and ValueError."""
    return parse_json(read_regular(path, max_bytes))


def parse_json(content: str | bytes, *, allows_constants: bool = False) -> Any:
    """Parse JSON; a byte order mark is skipped. Raises ValueError with the problem and where it is.

    allows_constants: accept Infinity, -Infinity and NaN, which Python writes but JSON does not have.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not valid UTF-8") from None
    try:
        value = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=float if allows_constants else _refuse_constant,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [value], 0
    while level := [v for part in level for v in _items(part) if isinstance(v, (dict, list))]:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deeply")
    return value


def _items(part: Any) -> Any:
    return part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items = dict(pairs)
    for key in items:
        key.encode()  # raises UnicodeEncodeError, a ValueError, on a lone surrogate
    if len(items) != len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {duplicate[:60]} occurs twice")
    return items


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")
