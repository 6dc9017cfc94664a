"""Progress and notices of a download as plain callbacks, so that this layer knows no terminal."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Notice", "PartialProgress", "Progress", "no_notice", "no_progress"]


Progress = Callable[[int | None, int], None]
"""Called as bytes arrive, possibly from another thread: (total bytes or None, bytes so far)."""

Notice = Callable[[str], None]
"""Called with one sentence for the user: which file was selected, which process holds the lock."""


def no_progress(total: int | None, done: int) -> None:
    """Ignore progress."""


def no_notice(text: str) -> None:
    """Ignore a notice."""


class PartialProgress:
    """Report one file of several: its bytes count from `start` towards the `total` bytes of all files."""

    def __init__(self, progress: Progress, start: int, total: int | None) -> None:
        self._progress, self._start, self._total = progress, start, total

    def __call__(self, total: int | None, done: int) -> None:
        """Report `done` bytes of this file; its own `total` is part of the overall one."""
        self._progress(self._total, self._start + done)
