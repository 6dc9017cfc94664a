"""Spans of time as people write them: 90s, 10m, 1.5h."""

from __future__ import annotations

import re

from zeropoint.errors import BadInput

__all__ = ["seconds_of"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str, name: str) -> float | None:
    """Seconds, or None for "". `name` is what was set, for the error. Raises BadInput."""
    if not text:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([smhd]?)", text)
    if not found or not float(found[1]):
        raise BadInput(f"{name} is {text!r}; expected a span of time, as in 90s, 10m or 1.5h")
    return float(found[1]) * _SECONDS[found[2] or "s"]
