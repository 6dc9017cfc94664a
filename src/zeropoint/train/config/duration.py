"""Parse durations such as 90s, 10m, 1.5h and 2d."""

from __future__ import annotations

import re

from zeropoint.errors import BadInput

__all__ = ["parse_duration"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str, name: str) -> float | None:
    """The duration in seconds; None for "". name: the setting, for the error. Raises BadInput."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([smhd]?)", text)
    if not match or not float(match[1]):
        raise BadInput(f"{name} is {text!r}; expected a duration such as 90s, 10m or 1.5h")
    return float(match[1]) * _SECONDS[match[2] or "s"]
