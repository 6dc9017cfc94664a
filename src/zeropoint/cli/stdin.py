"""The text of a command: its argument, the text on stdin, or both.

Without a text argument, or with `-`, a command reads stdin to its end. Otherwise stdin may hold text for the
command (`git diff | zeropoint chat "Explain this."`), belong to a loop (`while read -r q; do zeropoint chat
"$q"; done < questions`) or be a pipe that nobody writes to, so the kind of stdin decides:

- a file: read from its beginning; further on, a loop has read a part of it, and the rest is left alone
- a pipe or socket: read if text arrives within 3 s, or while the model loads
- a terminal: not read
- anything else, such as /dev/null: read
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from collections.abc import Sequence

from zeropoint.cli.console import Console
from zeropoint.errors import BadInput

__all__ = ["Prompt"]

MAX_BYTES = 16 << 20
_WAIT_S = 3.0  # for text on a pipe next to an argument
_PATIENCE_S = 1.0  # before saying what a command is waiting for


class Prompt:
    """The text of a command. Create it before loading the model and take `text()` afterwards.

    arguments: at most one text, and `-` to read stdin however long that takes. noun: what to call the text in
    messages ("question"). Raises BadInput for several texts or none, and for stdin that is too long or not
    UTF-8.
    """

    def __init__(self, arguments: Sequence[str], noun: str, console: Console) -> None:
        texts = [argument for argument in arguments if argument not in ("", "-")]
        if len(texts) > 1:
            raise BadInput(f"the {noun} has {len(texts)} arguments; put it in quotes")
        self._console, self._noun = console, noun
        self._argument = "".join(texts)
        self._piped = ""
        self._deadline = time.monotonic() + _WAIT_S
        self._is_pending = False
        if not texts or "-" in arguments:
            self._piped = self._read_to_the_end(is_explicit="-" in arguments)
        else:
            self._read_if_meant()
        if not self._argument and not self._piped:
            raise BadInput(f"no {noun} given; pass it as an argument or on stdin")

    def text(self) -> str:
        """The text: that of stdin, an empty line, and the argument. Waits for a pipe, at most 3 s in all."""
        if self._is_pending:
            self._is_pending = False
            self._wait_for_pipe()
        return "\n\n".join(part for part in (self._piped, self._argument) if part)

    def _read_to_the_end(self, *, is_explicit: bool) -> str:
        if _is_terminal():
            if not is_explicit:
                return ""
            self._console.notice(f"type the {self._noun}; Ctrl-D at the start of a line ends it")
        elif not _is_ready(_PATIENCE_S):
            self._console.warning(f"waiting for text on stdin: the {self._noun}")
        return _read()

    def _read_if_meant(self) -> None:
        """Read stdin next to an argument, or leave a pipe without text for later."""
        mode = _mode()
        if _is_terminal():
            return
        if stat.S_ISREG(mode) and _offset() > 0:
            if _offset() < os.fstat(sys.stdin.fileno()).st_size:
                self._console.notice(
                    f"the rest of stdin is left to the program that began to read it; "
                    f"`-` next to the {self._noun} reads it"
                )
        elif (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and not _is_ready(0):
            self._is_pending = True
        else:
            self._piped = _read()
            if stat.S_ISFIFO(mode) and self._piped and _is_shared_with_parent():
                self._console.notice(
                    f"the text on stdin, which the calling script can read too, is part of the {self._noun}; "
                    "in a loop, add < /dev/null"
                )

    def _wait_for_pipe(self) -> None:
        left_s = self._deadline - time.monotonic()
        if not _is_ready(max(0.0, min(left_s, _PATIENCE_S))) and left_s > _PATIENCE_S:
            self._console.notice("waiting for text on stdin, a pipe without any so far")
        if _is_ready(max(0.0, self._deadline - time.monotonic())):
            self._piped = _read()
        else:
            self._console.warning(
                f"no text arrived on stdin within {_WAIT_S:g} s, so the {self._noun} is used alone; "
                f"`-` next to it waits longer, < /dev/null does not wait"
            )


def _read() -> str:
    if sys.stdin is None:
        return ""
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"stdin cannot be read: {error.strerror}; pass the text as an argument") from None
    if len(data) > MAX_BYTES:
        raise BadInput(f"stdin has more than {MAX_BYTES >> 20} MiB of text; pass a shorter text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"stdin is not valid UTF-8 (byte {error.start}); convert it first, for example with iconv"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _mode() -> int:
    """The file type of stdin; 0 if it is closed or replaced by an object in memory."""
    try:
        return os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return 0


def _offset() -> int:
    return os.lseek(sys.stdin.fileno(), 0, os.SEEK_CUR)


def _is_ready(timeout_s: float) -> bool:
    """Whether a read would return at once: there is text, or the end."""
    try:
        return bool(select.select([sys.stdin], [], [], timeout_s)[0])
    except (TypeError, OSError, ValueError):  # closed, or an object in memory
        return True


def _is_shared_with_parent() -> bool:
    """Whether the parent process has the same stdin: in a loop or a script. Linux only."""
    try:
        return os.path.samestat(os.stat(f"/proc/{os.getppid()}/fd/0"), os.fstat(sys.stdin.fileno()))
    except OSError:
        return False
