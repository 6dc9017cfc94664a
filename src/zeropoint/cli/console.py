"""What is said where: stdout has the result, stderr everything else, and neither surprises a pipe.

Colour follows NO_COLOR, FORCE_COLOR, TERM and `--no-color`; notices and bars are for terminals alone,
warnings are for pipes too.
Text from a model or a file cannot steer the terminal. Rich is imported only where it draws.
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
# What moves the cursor, hides text or turns it round; a newline and a tab are text.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BAR_DELAY_S = 0.5  # a download shorter than this shows no bar


class Console:
    """The two streams of this process and how they are used; one object a run, held by the context.

    color: True always, False never, None as the environment and the terminal say.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ = os.environ if environ is None else environ
        self.is_verbose = False
        self.is_quiet = False
        self.color: bool | None = None

    @property
    def is_interactive(self) -> bool:
        """True if a person can be asked: input and output are terminals."""
        return _is_tty(sys.stdin) and _is_tty(sys.stdout)

    def has_color(self, stream: IO[str]) -> bool:
        """True if `stream` is to be coloured (the order of precedence is that of no-color.org)."""
        if self.color is not None:
            return self.color
        if self.environ.get("NO_COLOR"):
            return False
        if any(self.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
            return True
        return _is_tty(stream) and self.environ.get("TERM") != "dumb"

    def write(self, text: str) -> None:
        """A piece of the result, shown at once; a terminal gets it without control characters."""
        if _is_tty(sys.stdout):
            text = _STEERING.sub(lambda found: printable(found[0]), text)
        sys.stdout.write(text)
        sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """A line of the result."""
        self.write(f"{text}\n")

    def json(self, value: Any) -> None:
        """The result as one JSON object on one line."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows under headers on a terminal; tab-separated and without headers in a pipe."""
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
        """A remark on stderr; only for a terminal or with -v, and not with -q."""
        if not self.is_quiet and (self.is_verbose or _is_tty(sys.stderr)):
            self._say(self.style(printable(text, 2000), "dim", sys.stderr))

    def warning(self, text: str) -> None:
        """What whoever reads the result must know, in a pipe too: on stderr, and not with -q."""
        if not self.is_quiet:
            self._say(self.style(printable(text, 2000), "dim", sys.stderr))

    def error(self, text: str) -> None:
        """An error on stderr, always."""
        self._say(f"{self.style('error:', 'error', sys.stderr)} {printable(text, 4000)}")

    def style(self, text: str, name: str, stream: IO[str]) -> str:
        """`text` in the style of that name where `stream` has colour."""
        return f"\x1b[{_STYLES[name]}m{text}\x1b[0m" if self.has_color(stream) else text

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A report of bytes: a bar on a terminal; with -v elsewhere a line each 10 %; else nothing."""
        if self.is_quiet or self.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "0").lower() in ("1", "true"):
            yield lambda total, done: None
        elif _is_tty(sys.stderr) and self.environ.get("TERM") != "dumb" and not self.environ.get("CI"):
            bar = _Bar(label, self.rich(sys.stderr))
            try:
                yield bar.report
            finally:
                bar.close()
        elif self.is_verbose:
            yield _tenths(label, self._say)
        else:
            yield lambda total, done: None

    def rich(self, stream: IO[str]) -> RichConsole:
        """A rich console on `stream`, coloured as this one would be."""
        from rich.console import Console as RichConsole

        # Without a colour system rich writes no escape at all, bold included; `no_color` would keep it.
        return RichConsole(
            file=stream,
            color_system="auto" if self.has_color(stream) else None,
            highlight=False,
            markup=False,
            emoji=False,
        )

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads stderr: there is nowhere left to say it
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


class _Bar:
    """A rich progress bar that is drawn once the work has taken a while."""

    def __init__(self, label: str, console: RichConsole) -> None:
        self._label, self._console = label, console
        self._since = time.monotonic()
        self._progress: Any = None
        self._task: Any = None

    def report(self, total: int | None, done: int) -> None:
        if self._progress is None:
            if time.monotonic() - self._since < _BAR_DELAY_S:
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


def _tenths(label: str, say: Callable[[str], None]) -> Progress:
    last = -1

    def report(total: int | None, done: int) -> None:
        nonlocal last
        tenth = done * 10 // total if total else 0
        if tenth > last:
            last = tenth
            say(f"{printable(label)}: {tenth * 10} % ({done / 1e6:.0f} MB)")

    return report


def _is_tty(stream: IO[str] | None) -> bool:
    """False also for a stream that is closed or absent."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
