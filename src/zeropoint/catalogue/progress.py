"""How a download tells of itself: two plain callbacks, so that no terminal is known down here."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Notice", "Progress", "Span", "no_notice", "no_progress"]


class Progress(Protocol):
    """Called as bytes arrive: `total` bytes are expected (None: unknown), `done` are here."""

    def __call__(self, total: int | None, done: int) -> None: ...


class Notice(Protocol):
    """Called with one sentence that a person should read (which file was taken, who is waited for)."""

    def __call__(self, text: str) -> None: ...


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
