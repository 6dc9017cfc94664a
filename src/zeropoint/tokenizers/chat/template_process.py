"""The parent's side of the template worker: start it, ask it, kill it (see `template_worker.py`).

A timeout in a thread stops the waiting and not the work, so the work is in a process of its own.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
import weakref
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from zeropoint.errors import MachineError

MAX_REPLY_BYTES = 8 << 20
START_S = 20.0  # a loaded machine may take seconds to start Python; usually it is 0.1
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TZ")  # to start at all; local time
_HEAD = struct.Struct("<cI")
# As a module and not as a script, which Python would compile anew each time.
_WORKER = "import sys; sys.path += sys.argv[1:]; import template_worker; template_worker.main()"


class TimedOutError(Exception):
    """The worker did not answer in time; it has been killed."""


class DiedError(Exception):
    """The worker ended on its own: a limit on memory or processor time, or a signal."""


_prepared: list[TemplateProcess] = []


def prestart() -> None:
    """Start a worker now, for the next `TemplateProcess.take`: Python needs some time to come up."""
    if not _prepared:
        _prepared.append(TemplateProcess())


class TemplateProcess:
    """One worker. It starts at once and in the background; `ask` first waits until it is ready."""

    def __init__(self) -> None:
        self._ready = False
        self.owner = os.getpid()  # a fork of ours must not talk over the same pipes
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    _WORKER,
                    *_folders(),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for it
            )
        except (OSError, ValueError) as error:
            raise MachineError(
                f"the chat template's worker process could not start ({error}); free some memory or processes"
            ) from None
        self.close = weakref.finalize(self, _end, self._process, self.owner)

    @classmethod
    def take(cls) -> TemplateProcess:
        """The prepared worker, if there is one of this process, else a new one."""
        prepared = _prepared.pop() if _prepared else None
        return prepared if prepared is not None and prepared.owner == os.getpid() else cls()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def ask(self, kind: bytes, body: bytes, timeout_s: float) -> tuple[bytes, bytes]:
        """Send one frame; the reply's kind and body. Raises TimedOutError, DiedError, MachineError."""
        if not self._ready:
            try:
                self._read(time.monotonic() + START_S)
            except (TimedOutError, DiedError):
                self.close()
                raise MachineError(
                    "the chat template's worker process did not start; "
                    "check that jinja2 is installed for this Python and that memory is left"
                ) from None
            self._ready = True
        try:
            deadline = time.monotonic() + timeout_s
            self._write(_HEAD.pack(kind, len(body)) + body, deadline)
            return self._read(deadline)
        except BaseException:  # also Ctrl-C: half a frame is on the pipes
            self.close()
            raise

    def _write(self, frame: bytes, deadline: float) -> None:
        pipe = _number(self._process.stdin)
        os.set_blocking(pipe, False)
        rest = memoryview(frame)
        while rest:
            self._wait([], [pipe], deadline)
            try:
                rest = rest[os.write(pipe, rest) :]
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
        pipe = _number(self._process.stdout)
        pieces, left = [], n_bytes
        while left:
            self._wait([pipe], [], deadline)
            piece = os.read(pipe, min(left, 1 << 20))
            if not piece:
                raise DiedError
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _wait(self, reads: list[int], writes: list[int], deadline: float) -> None:
        left = deadline - time.monotonic()
        poll = select.poll()
        for pipe in reads:
            poll.register(pipe, select.POLLIN)
        for pipe in writes:
            poll.register(pipe, select.POLLOUT)
        if left <= 0 or not poll.poll(left * 1000):
            raise TimedOutError


def _number(pipe: IO[bytes] | None) -> int:
    """The descriptor of one of the worker's pipes."""
    if pipe is None or pipe.closed:
        raise DiedError
    return pipe.fileno()


def _folders() -> list[str]:
    """Where the worker, jinja2 and markupsafe lie: the child starts with the standard library alone."""
    specs = [find_spec(name) for name in ("jinja2", "markupsafe")]
    origins = [spec.origin for spec in specs if spec and spec.origin]
    return [str(Path(__file__).parent), *sorted({str(Path(origin).parent.parent) for origin in origins})]


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Kill the worker and close the pipes; runs once: on close, when collected, or when we end."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if os.getpid() == owner:
        process.kill()
        process.wait()
