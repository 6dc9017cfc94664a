"""Keep a Rust panic's report off stderr: the exception says the same, in one sentence.

The library's panic hook writes to file descriptor 2 before Python sees the exception. While a guarded call
runs, the descriptor refers to a temporary file. Whatever else was written there is passed on afterwards; only
the report of a panic in the guarded call is dropped. Guard rare calls, not those on every path: a process
that another thread starts meanwhile inherits the temporary file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

__all__ = ["quiet_panics"]

_LOCK = threading.Lock()
_STDERR = 2


@contextlib.contextmanager
def quiet_panics() -> Iterator[None]:
    """Within this context, a panic of the library raises its exception and prints nothing."""
    with _LOCK, tempfile.TemporaryFile() as captured:
        try:
            original = os.dup(_STDERR)
        except OSError:  # stderr is closed
            yield
            return
        is_panic = False
        try:
            os.dup2(captured.fileno(), _STDERR)
            yield
        except BaseException as failure:
            is_panic = type(failure).__name__ == "PanicException"
            raise
        finally:
            os.dup2(original, _STDERR)
            os.close(original)
            captured.seek(0)
            if not is_panic and (written := captured.read()):
                os.write(_STDERR, written)
