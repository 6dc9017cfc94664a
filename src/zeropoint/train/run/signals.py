"""Signals that end a run: the first asks for a checkpoint and an end, the second ends it at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["StopRequest", "graceful_shutdown"]


class StopRequest:
    """name: of the signal that came, or ""."""

    def __init__(self) -> None:
        self.name = ""


@contextlib.contextmanager
def graceful_shutdown() -> Iterator[StopRequest]:
    """While inside, SIGINT, SIGTERM and SIGHUP are noted; a second one is KeyboardInterrupt or SystemExit.

    SIGHUP (a closed terminal) counts as SIGTERM. Outside the main thread, where Python takes no signals,
    nothing is heard.
    """
    asked = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def take(number: int, frame: FrameType | None) -> None:
        if asked.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        if asked.name:
            raise SystemExit(128 + signal.SIGTERM)
        asked.name = "SIGINT" if number == signal.SIGINT else "SIGTERM"

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: list[Any] = [signal.signal(number, take) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
