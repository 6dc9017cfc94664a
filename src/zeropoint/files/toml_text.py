"""Parse TOML that somebody else may have written: bounded in size, in the length of keys and in nesting.

`tomllib` takes quadratic time and memory for a dotted key of many parts, so the bounds are checked before it
sees the text.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.files.regular_file import read_regular

__all__ = ["MAX_TOML_BYTES", "parse_toml", "read_toml"]

MAX_TOML_BYTES = 1 << 20
_MAX_DEPTH = 32  # parts of a dotted key, and nested arrays and inline tables
_MAX_WORD = 256  # characters of a bare key or number
_MAX_WORDS = 100_000  # parts of keys, and values; each takes up to 1 KB
# These patterns match unterminated strings too, so that no text makes them search the same characters twice.
# They have no possessive quantifiers, which Python 3.11.2 gets wrong.
_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|'[^'\n]*'?)"""
_TOKEN = re.compile(
    r"""(?s:\"\"\"[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:"{3,5}|\\?\Z))"""
    r"""|(?s:\'\'\'[^']*(?:'(?!'')[^']*)*(?:'{3,5}|\Z))"""
    rf"""|\#[^\n]*|(?P<key>{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*)|(?P<open>[\[{{])|(?P<close>[\]}}])"""
)
_PART = re.compile(_KEY)


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises OSError, and BadInput naming the file."""
    return parse_toml(read_regular(path, MAX_TOML_BYTES), str(path))


def parse_toml(content: str | bytes, origin: str) -> dict[str, Any]:
    """Parse TOML; a byte order mark is skipped. Raises BadInput naming `origin`."""
    if len(content) > MAX_TOML_BYTES:
        raise BadInput(f"{origin} is larger than {MAX_TOML_BYTES:,} bytes, the limit for TOML")
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        text = text.removeprefix("\ufeff")
        _check_bounds(text)
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise BadInput(f"{origin} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except RecursionError:
        raise BadInput(f"{origin} is not valid TOML: it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or a bound above
        raise BadInput(f"{origin} is not valid TOML: {error}") from None


def _check_bounds(text: str) -> None:
    """Raise ValueError for long keys and deep nesting, as far as the text is valid TOML."""
    depth = n_words = 0
    for token in _TOKEN.finditer(text):
        kind, problem = token.lastgroup, ""
        if kind == "open":
            depth += 1
            if depth > _MAX_DEPTH:
                problem = f"arrays and tables are nested deeper than {_MAX_DEPTH}"
        elif kind == "close":
            depth -= 1
        elif kind == "key":
            n_words += 1 + text.count(".", token.start(), token.end())
            if n_words > _MAX_WORDS:
                problem = f"it has more than {_MAX_WORDS:,} keys and values"
            elif token.end() - token.start() > _MAX_DEPTH:
                problem = _key_problem(token["key"])
        if problem:
            raise ValueError(f"{problem} (at line {text.count(chr(10), 0, token.start()) + 1})")


def _key_problem(key: str) -> str:
    parts = _PART.findall(key)
    if len(parts) > _MAX_DEPTH:
        return f"a key has more than {_MAX_DEPTH} parts"
    if any(len(part) > _MAX_WORD for part in parts if part[0] not in "\"'"):
        return f"a key or number has more than {_MAX_WORD} characters"
    return ""
