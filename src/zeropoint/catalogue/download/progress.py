"""How a download tells of itself: two plain callbacks, so that no terminal is known down here."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Notice", "Progress", "Span", "no_notice", "no_progress"]


Progress = Callable[[int | None, int], None]
"""Called as bytes arrive, perhaps from another thread: (total bytes or None, bytes that are here)."""

Notice = Callable[[str], None]
"""Called with one sentence that a person should read (which file was taken, who is waited for)."""


def no_progress(total: int | None, done: int) -> None:
    """Tell nothing."""


def no_notice(text: str) -> None:
    """Say nothing."""


class Span:
    """The share of one file in the progress of several: counts from `start` towards `total` bytes."""

    def __init__(self, progress: Progress, start: int, total: int | None) -> None:
        self._progress, self._start, self._total = progress, start, total

    def __call__(self, total: int | None, done: int) -> None:
        """Report this file's `done` as part of the whole; its own `total` says nothing new."""
        self._progress(self._total, self._start + done)
