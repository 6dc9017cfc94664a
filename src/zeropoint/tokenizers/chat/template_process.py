"""The parent's side of the template worker: start it, send requests, kill it (see `template_worker.py`).

A timeout in a thread ends the waiting but not the work, so rendering runs in a separate process.
"""

from __future__ import annotations

import atexit
import functools
import os
import select
import struct
import subprocess
import sys
import threading
import time
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from zeropoint.errors import MachineError

MAX_REPLY_BYTES = 8 << 20
START_S = 20.0  # a loaded machine may take seconds to start Python; 0.1 s is typical
# Environment variables that the worker inherits: needed to start, and the local time zone.
_INHERITED_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TZ")
_HEAD = struct.Struct("<cI")
# A module, because Python caches its bytecode; it would recompile a script at every start.
_WORKER = "import sys; sys.path += sys.argv[1:]; import template_worker; template_worker.main()"


class TimedOutError(Exception):
    """The worker did not reply in time; it has been killed."""


class DiedError(Exception):
    """The worker exited: it exceeded its memory or CPU limit, or received a signal."""


class NotStartedError(DiedError):
    """The worker exited before it could serve requests."""


_prestarted: list[TemplateProcess] = []
_exiting: list[bool] = []


def prestart() -> None:
    """Start a worker now for the next `TemplateProcess.take`, to hide the start-up time of Python."""
    if not _prestarted:
        _prestarted.append(TemplateProcess())


class TemplateProcess:
    """One worker. It starts in the background; the first `request` waits until it is ready."""

    def __init__(self) -> None:
        self._ready = False
        self.owner = os.getpid()  # a fork of this process must not use the same pipes
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    _WORKER,
                    *_search_path(),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env={name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ},
                start_new_session=True,  # so that Ctrl-C in the terminal does not reach the worker
            )
        except (OSError, ValueError) as error:
            raise MachineError(
                f"the chat template's worker process could not start ({error}); free some memory or processes"
            ) from None
        self.close = weakref.finalize(self, _terminate, self._process, self.owner)
        _notice_exit()

    @classmethod
    def take(cls) -> TemplateProcess:
        """The worker that `prestart` started, if this process owns one, else a new one."""
        worker = _prestarted.pop() if _prestarted else None
        return worker if worker is not None and worker.owner == os.getpid() else cls()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def request(self, kind: bytes, body: bytes, timeout_s: float) -> tuple[bytes, bytes]:
        """Send one frame and return the reply's kind and body.

        Raises TimedOutError, DiedError, MachineError.
        """
        if not self._ready:
            try:
                self._read(time.monotonic() + START_S)
            except TimedOutError:
                self.close()
                raise MachineError(
                    f"the chat template's worker process did not start within {START_S:.0f} s; "
                    "end other programs and try again"
                ) from None
            except DiedError:
                self.close()
                raise NotStartedError from None
            self._ready = True
        try:
            deadline = time.monotonic() + timeout_s
            self._write(_HEAD.pack(kind, len(body)) + body, deadline)
            return self._read(deadline)
        except BaseException:  # Ctrl-C included: a partial frame may be on the pipes
            self.close()
            if _exiting and threading.current_thread() is not threading.main_thread():
                raise SystemExit from None  # the exit killed the worker; ends a daemon thread silently
            raise

    def _write(self, frame: bytes, deadline: float) -> None:
        pipe = _descriptor(self._process.stdin)
        os.set_blocking(pipe, False)
        remaining = memoryview(frame)
        while remaining:
            self._wait([], [pipe], deadline)
            try:
                remaining = remaining[os.write(pipe, remaining) :]
            except BlockingIOError:
                continue
            except OSError:
                raise DiedError from None

    def _read(self, deadline: float) -> tuple[bytes, bytes]:
        kind, length = _HEAD.unpack(self._read_exactly(_HEAD.size, deadline))
        if length > MAX_REPLY_BYTES:
            raise DiedError
        return kind, self._read_exactly(length, deadline)

    def _read_exactly(self, n_bytes: int, deadline: float) -> bytes:
        pipe = _descriptor(self._process.stdout)
        chunks, n_remaining = [], n_bytes
        while n_remaining:
            self._wait([pipe], [], deadline)
            chunk = os.read(pipe, min(n_remaining, 1 << 20))
            if not chunk:
                raise DiedError
            chunks.append(chunk)
            n_remaining -= len(chunk)
        return b"".join(chunks)

    def _wait(self, reads: list[int], writes: list[int], deadline: float) -> None:
        remaining_s = deadline - time.monotonic()
        poll = select.poll()
        for pipe in reads:
            poll.register(pipe, select.POLLIN)
        for pipe in writes:
            poll.register(pipe, select.POLLOUT)
        if remaining_s <= 0 or not poll.poll(remaining_s * 1000):
            raise TimedOutError


@functools.cache
def _notice_exit() -> None:
    """Let `_exiting` be non-empty before `finalize` kills the workers at exit; call it after a `finalize`."""
    atexit.register(_exiting.append, True)


def _descriptor(pipe: IO[bytes] | None) -> int:
    """The file descriptor of one of the worker's pipes."""
    if pipe is None or pipe.closed:
        raise DiedError
    return pipe.fileno()


def _search_path() -> list[str]:
    """Folders of the worker, jinja2 and markupsafe; the worker starts with only the standard library."""
    specs = [find_spec(name) for name in ("jinja2", "markupsafe")]
    origins = [spec.origin for spec in specs if spec and spec.origin]
    return [str(Path(__file__).parent), *sorted({str(Path(origin).parent.parent) for origin in origins})]


def _terminate(process: subprocess.Popen[bytes], owner: int) -> None:
    """Kill the worker and close the pipes. Runs once: on close, garbage collection or interpreter exit."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if os.getpid() == owner:
        process.kill()
        process.wait()
