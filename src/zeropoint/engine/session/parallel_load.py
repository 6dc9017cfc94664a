"""Weights are read in a thread while this one makes the tokenizer: both take a third of a start.

Neither may take its memory beside the other's, so the last weights wait (native/base/load_gate.hpp) until the
tokenizer is made and what that took is free again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from zeropoint import _native

__all__ = ["load_in_parallel"]


def load_in_parallel(work: Callable[[], object], then: Callable[[], object]) -> Callable[..., _native.Engine]:
    """A maker for `NativeEngine`: it calls `work`, and `then` while the last weights are read.

    What these raise it raises, and the engine is not made; where it failed already, that is what is said.
    """

    def make(*arguments: Any) -> _native.Engine:
        gate = _native.LoadGate()
        made: list[_native.Engine] = []
        failed: list[BaseException] = []
        engine: Callable[..., _native.Engine] = _native.Engine

        def read() -> None:
            try:
                made.append(engine(*arguments, load_gate=gate))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=read)
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had: one after the other
            work()
            then()
            return engine(*arguments)
        try:
            work()
            gate.open()
            then()
        except BaseException as error:
            reason = failed[0] if failed else error
            gate.abandon()
            raise reason from None
        finally:
            thread.join()
        if failed:
            raise failed[0]
        return made[0]

    return make
