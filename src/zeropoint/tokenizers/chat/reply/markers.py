"""Find fixed strings in a text that arrives in pieces."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

__all__ = ["MarkerFinder"]


class MarkerFinder:
    """Splits a text at markers, which may change between two calls. Each character is looked at a few times.

    A piece that could be the beginning of a marker is held back until it is one, or is not.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._at = 0

    def push(self, text: str) -> None:
        """Append a piece of the text."""
        self._pending, self._at = self._pending[self._at :] + text, 0

    def next(self, markers: tuple[str, ...]) -> tuple[str, str]:
        """(text before the first marker, the marker), or (the text that is certainly none, "")."""
        pattern, longest = _compiled(markers)
        start = self._at
        match = pattern.search(self._pending, start) if markers else None
        if match is not None:
            self._at = match.end()
            return self._pending[start : match.start()], match[0]
        self._at = len(self._pending) - self._held(markers, longest)
        return self._pending[start : self._at], ""

    def rest(self) -> str:
        """What is held back; nothing is afterwards."""
        rest, self._pending, self._at = self._pending[self._at :], "", 0
        return rest

    def _held(self, markers: Iterable[str], longest: int) -> int:
        """The length of the longest end of the text that begins a marker."""
        tail = self._pending[max(self._at, len(self._pending) - longest + 1) :]
        for start in range(len(tail)):
            end = tail[start:]
            if any(marker.startswith(end) for marker in markers):
                return len(end)
        return 0


@functools.lru_cache(maxsize=256)
def _compiled(markers: tuple[str, ...]) -> tuple[re.Pattern[str], int]:
    """A pattern that prefers the longest of the markers that begin at one place, and that length."""
    ordered = sorted(markers, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))), max(map(len, markers), default=0)
