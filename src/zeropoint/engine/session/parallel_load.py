"""Load weights on a background thread while building the tokenizer; each is a third of start-up time.

Their peak memory must not add up, so weight loading pauses near its end (native/base/load_gate.hpp) until the
tokenizer is built and its temporary memory is free again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from zeropoint import _native

__all__ = ["load_in_parallel"]


def load_in_parallel(
    build_tokenizer: Callable[[], object], finish: Callable[[], object]
) -> Callable[..., _native.Engine]:
    """A constructor of `_native.Engine` that also calls these functions, on the calling thread.

    build_tokenizer runs while most weights are read; finish runs while the last ones are. An exception of
    either cancels the load. If loading has failed too, its exception is raised instead.
    """

    def load_engine(*arguments: Any) -> _native.Engine:
        gate = _native.LoadGate()
        engines: list[_native.Engine] = []
        failures: list[BaseException] = []
        constructor: Callable[..., _native.Engine] = _native.Engine

        def read_weights() -> None:
            try:
                engines.append(constructor(*arguments, load_gate=gate))
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=read_weights)
        try:
            thread.start()
        except RuntimeError:  # no more threads available: load one after the other
            build_tokenizer()
            finish()
            return constructor(*arguments)
        try:
            build_tokenizer()
            gate.open()
            finish()
        except BaseException as error:
            cause = failures[0] if failures else error
            gate.abandon()
            raise cause from None
        finally:
            thread.join()
        if failures:
            raise failures[0]
        return engines[0]

    return load_engine
