"""Graceful shutdown: the first signal ends the run after a checkpoint, the second one ends it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["StopRequest", "graceful_shutdown"]


class StopRequest:
    """name: the signal that requested a stop, or ""."""

    def __init__(self) -> None:
        self.name = ""


@contextlib.contextmanager
def graceful_shutdown() -> Iterator[StopRequest]:
    """Inside, record SIGINT, SIGTERM and SIGHUP; a second signal raises KeyboardInterrupt or SystemExit.

    SIGHUP (a closed terminal) counts as SIGTERM. Outside the main thread, where Python cannot set signal
    handlers, no signal is recorded.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if request.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        if request.name:
            raise SystemExit(128 + signal.SIGTERM)
        request.name = "SIGINT" if number == signal.SIGINT else "SIGTERM"

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous: list[Any] = [signal.signal(number, handle) for number in numbers]
    try:
        yield request
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
