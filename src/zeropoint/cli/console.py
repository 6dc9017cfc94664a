"""Output streams: results go to stdout, everything else to stderr.

Colour follows NO_COLOR, FORCE_COLOR, TERM and `--no-color`. Notices and progress bars appear only on a
terminal; warnings also in a pipe. Control characters in text from a model or a file are escaped on a
terminal. Rich is imported only to draw.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from zeropoint.tokenizers.core.sanitize import printable

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from zeropoint.catalogue.download.progress import Progress

__all__ = ["Console"]

_STYLES = {"error": "1;31", "dim": "2"}
# Control and bidi characters, which move the cursor, hide text or reverse it; newline and tab are allowed.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BAR_DELAY_S = 0.5  # a shorter download shows no bar


class Console:
    """Writes to stdout and stderr. Each run has one, stored as click's context object.

    color: True always, False never, None as the environment and the terminal decide.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.is_verbose = False
        self.is_quiet = False
        self.color: bool | None = None

    @property
    def is_interactive(self) -> bool:
        """Whether stdin and stdout are both terminals."""
        return _is_tty(sys.stdin) and _is_tty(sys.stdout)

    @property
    def is_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return _is_tty(sys.stdout)

    @property
    def has_style(self) -> bool:
        """Whether styled text on stdout looks different from plain text."""
        return self._can_wrap(sys.stdout) and self.has_color(sys.stdout)

    @property
    def can_ask(self) -> bool:
        """Whether a question on stderr reaches somebody who can answer on stdin."""
        return _is_tty(sys.stdin) and _is_tty(sys.stderr)

    def has_color(self, stream: IO[str]) -> bool:
        """Whether to colour output on `stream` (precedence as on no-color.org)."""
        if self.color is not None:
            return self.color
        if self.environ.get("NO_COLOR"):
            return False
        if any(self.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
            return True
        return _is_tty(stream) and self.environ.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """Write a piece of the result and flush; on a terminal, escape control characters."""
        self._write_stdout(_escape_controls(text) if _is_tty(sys.stdout) else text)

    def text_writer(self, style: str | None = None) -> Callable[[str], None]:
        """A function that writes the pieces of one text as `write` does, wrapped at words on a terminal.

        style: the name of a style, for a terminal with colour.
        """
        if not self._can_wrap(sys.stdout):
            return self.write
        from zeropoint.cli.word_wrap import WordWrapper

        wrapper = WordWrapper(lambda: _columns(sys.stdout))

        def write(text: str) -> None:
            wrapped = wrapper.push(_escape_controls(text))
            self._write_stdout(self.style(wrapped, style, sys.stdout) if style else wrapped)

        return write

    def line(self, text: str = "") -> None:
        """Write a line of the result."""
        self.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """Write the result as JSON on one line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print an aligned table on a terminal; tab-separated rows without headers in a pipe."""
        cells = [[printable(str(cell)) for cell in row] for row in rows]
        if not _is_tty(sys.stdout):
            for row in cells:
                self.line("\t".join(row))
            return
        from rich.table import Table

        table = Table(*headers, box=None, pad_edge=False, header_style="bold")
        for row in cells:
            table.add_row(*row)
        self.rich(sys.stdout).print(table)

    def notice(self, text: str) -> None:
        """Print a remark to stderr, on a terminal or with -v; never with -q."""
        if not self.is_quiet and (self.is_verbose or _is_tty(sys.stderr)):
            self._write_remark(text)

    def warning(self, text: str) -> None:
        """Print a remark that the result needs, to stderr, also in a pipe; never with -q."""
        if not self.is_quiet:
            self._write_remark(text)

    def error(self, text: str) -> None:
        """Print an error to stderr."""
        text = self._filled(f"error: {printable(text, 4000)}")
        self._write_stderr(self.style("error:", "error", sys.stderr) + text.removeprefix("error:"))

    def style(self, text: str, name: str, stream: IO[str]) -> str:
        """`text` in the named style if `stream` has colour, else unchanged."""
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self.has_color(stream) else text

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Report bytes done: a bar on a terminal, else a line per 10 % with -v, else nothing."""
        if self.is_quiet or self.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "0").lower() in ("1", "true"):
            yield lambda total, done: None
        elif _is_tty(sys.stderr) and self.environ.get("TERM") != "dumb" and not self.environ.get("CI"):
            bar = _Bar(label, self.rich(sys.stderr))
            try:
                yield bar.report
            finally:
                bar.close()
        elif self.is_verbose:
            yield _percent_lines(label, self._write_stderr)
        else:
            yield lambda total, done: None

    def rich(self, stream: IO[str]) -> RichConsole:
        """A rich console that writes to `stream` with the same colour setting."""
        from rich.console import Console as RichConsole

        # Without a colour system rich writes no escape codes at all; `no_color` would still write bold.
        return RichConsole(
            file=stream,
            color_system="auto" if self.has_color(stream) else None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def _write_remark(self, text: str) -> None:
        self._write_stderr(self.style(self._filled(printable(text, 2000)), "dim", sys.stderr))

    def _filled(self, text: str) -> str:
        """The text in lines of the terminal that stderr is; in a pipe, one message stays one line."""
        if not self._can_wrap(sys.stderr):
            return text
        from zeropoint.cli.word_wrap import fill

        return fill(text, _columns(sys.stderr))

    def _can_wrap(self, stream: IO[str]) -> bool:
        return _is_tty(stream) and self.environ.get("TERM", "dumb") != "dumb"

    def _write_stdout(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _write_stderr(self, text: str) -> None:
        with contextlib.suppress(OSError):  # stderr has no reader
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


class _Bar:
    """A rich progress bar that appears after 0.5 s."""

    def __init__(self, label: str, console: RichConsole) -> None:
        self._label, self._console = label, console
        self._start_s = time.monotonic()
        self._progress: Any = None
        self._task: Any = None

    def report(self, total: int | None, done: int) -> None:
        if self._progress is None:
            if time.monotonic() - self._start_s < _BAR_DELAY_S:
                return
            self._start()
        self._progress.update(self._task, total=total, completed=done)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _start(self) -> None:
        from rich import progress

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(printable(self._label), total=None)
        self._progress.start()


def _percent_lines(label: str, write: Callable[[str], None]) -> Progress:
    last = -1

    def report(total: int | None, done: int) -> None:
        nonlocal last
        tenth = done * 10 // total if total else 0
        if tenth > last:
            last = tenth
            write(f"{printable(label)}: {tenth * 10} % ({done / 1e6:.0f} MB)")

    return report


def _escape_controls(text: str) -> str:
    return _CONTROL.sub(lambda match: printable(match[0]), text)


def _columns(stream: IO[str]) -> int:
    """The width of the terminal now, since it may be resized; 0 if it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def _is_tty(stream: IO[str] | None) -> bool:
    """Whether the stream is a terminal; False for a closed or missing stream."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
