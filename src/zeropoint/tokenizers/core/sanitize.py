"""Validate text from outside, and escape it for terminals."""

from __future__ import annotations

from zeropoint.errors import BadInput


def check_unicode(text: object, what: str = "the text") -> str:
    """Return `text` if it is a string that UTF-8 can encode. Raises BadInput (lone surrogate, other type)."""
    if not isinstance(text, str):
        raise BadInput(f"{what} must be a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise BadInput(
            f"{what} has a lone surrogate (U+{code:04X}) at character {error.start}; "
            "give text that is valid Unicode"
        ) from None
    return text


def printable(text: str, limit: int = 300) -> str:
    """One line of at most about `limit` characters, with control characters escaped."""
    shown = text[:limit] + ("..." if len(text) > limit else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
