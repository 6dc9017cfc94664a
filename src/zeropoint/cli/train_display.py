"""How a training run shows itself: a bar that is drawn anew on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from zeropoint.cli.console import Console
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, RunInfo, StepInfo
from zeropoint.train.config.duration import seconds_of

__all__ = ["Bar", "Lines", "showing"]

_LINE_EVERY_S = 10.0
_LONGEST = 20  # steps that what is shown of loss and speed is averaged over, once there are many more


@contextlib.contextmanager
def showing(console: Console) -> Iterator[Callback]:
    """A bar where a person looks on, else lines; neither with -q. No bar stays, also where a run fails."""
    screen = _screen(console)
    try:
        yield screen
    finally:
        if isinstance(screen, Bar):
            screen.close()


def _screen(console: Console) -> Callback:
    if console.is_quiet:
        return Callback()
    is_plain = console.environ.get("TERM") == "dumb" or bool(console.environ.get("CI"))
    return Lines(console) if is_plain or not sys.stderr.isatty() else Bar(console)


class Pace:
    """Loss and speed, averaged over the last steps, and how long the run will still take."""

    def __init__(self, info: RunInfo) -> None:
        self.loss: float | None = None
        self.tok_s: float | None = None
        self._info = info
        self._budget_s = seconds_of(info.config.train.time_budget, "train.time_budget")
        self._since, self._first_step = time.monotonic(), info.first_step

    def see(self, info: StepInfo) -> None:
        """Count a step in."""
        span = min(_LONGEST, (info.step - self._first_step) / 8 + 1)
        self.loss = info.loss if self.loss is None else self.loss + (info.loss - self.loss) / span
        self.tok_s = info.tok_s if self.tok_s is None else self.tok_s + (info.tok_s - self.tok_s) / span

    def seconds_left(self, step: int) -> float:
        """By the steps of this sitting, evaluations among them; no longer than the time budget has."""
        gone = time.monotonic() - self._since
        left = gone / max(step - self._first_step, 1) * (self._info.n_steps - step)
        return left if self._budget_s is None else max(0.0, min(left, self._budget_s - gone))


class Bar(Callback):
    """A rich progress bar on stderr, with samples and evaluations above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Any = None

    def on_start(self, info: RunInfo) -> None:
        from rich import progress

        self._pace, self._info, self._validation = Pace(info), info, ""
        _tell_start(self._console, info)
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            progress.TextColumn("{task.fields[told]}", markup=False),
            console=self._console.rich(sys.stderr),
            transient=True,
            expand=True,
        )
        name = printable(info.folder.name)
        self._task = self._progress.add_task(name, total=info.n_steps, completed=info.first_step, told="")
        self._progress.start()

    def on_step(self, info: StepInfo) -> None:
        self._pace.see(info)
        told = f"loss {self._pace.loss:.3f}{self._validation} · {_speed(self._pace.tok_s)}"
        left = _clock(self._pace.seconds_left(info.step))
        self._progress.update(
            self._task, completed=info.step, told=f"{told} · {left} left · {_memory(info.memory_bytes)}"
        )

    def on_eval(self, info: EvalInfo) -> None:
        self._validation = f" · validation {info.validation_loss:.3f}"

    def on_sample(self, step: int, text: str) -> None:
        self._print(f"after step {step} it writes:", "dim")
        self._print(printable_lines(text))

    def on_notice(self, text: str) -> None:
        self._stop_around(lambda: self._console.warning(text))

    def on_end(self, result: Result) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away; also where the run failed."""
        if self._progress is not None:
            self._progress.stop()

    def _print(self, text: str, style: str | None = None) -> None:
        self._progress.console.print(text, style=style)

    def _stop_around(self, say: Any) -> None:
        if self._progress is None:
            say()
        else:
            self._progress.stop()
            say()
            self._progress.start()


class Lines(Callback):
    """Lines on stderr: each evaluation, and in between one every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = time.monotonic()

    def on_start(self, info: RunInfo) -> None:
        self._pace, self._info = Pace(info), info
        _tell_start(self._console, info)

    def on_step(self, info: StepInfo) -> None:
        self._pace.see(info)
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            left = _clock(self._pace.seconds_left(info.step))
            told = f"loss {self._pace.loss:.4f}, {_speed(self._pace.tok_s)}, {left} left"
            self._say(f"step {info.step}/{self._info.n_steps}: {told}, {_memory(info.memory_bytes)}")

    def on_eval(self, info: EvalInfo) -> None:
        train = "" if info.train_loss is None else f"training {info.train_loss:.4f}, "
        best = ", the best so far" if info.is_best and info.step else ""
        self._say(
            f"step {info.step}/{self._info.n_steps}: {train}validation {info.validation_loss:.4f}{best}"
        )

    def on_sample(self, step: int, text: str) -> None:
        if self._console.is_verbose:
            self._say(f"after step {step} it writes: {text!r}")

    def on_notice(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.warning(text)


def printable_lines(text: str) -> str:
    """Text for a terminal, its lines kept."""
    return "\n".join(printable(line, 4000) for line in text.split("\n"))


def _tell_start(console: Console, info: RunInfo) -> None:
    from zeropoint.train.objectives.seq2seq import Seq2SeqLoss

    # Pairs are as long as they are; of other rows the tokens are known.
    is_pairs = isinstance(info.config.objective, Seq2SeqLoss)
    size = f"{info.config.train.batch_size:,} pairs" if is_pairs else f"{info.n_tokens_a_step:,} tokens"
    goes_on = f", going on after step {info.first_step}" if info.first_step else ""
    console.warning(
        f"training {info.n_parameters:,} parameters for {info.n_steps:,} steps of "
        f"{size} in {info.folder}{goes_on}; Ctrl-C keeps what was learnt"
    )


def _speed(tok_s: float | None) -> str:
    return f"{tok_s or 0:,.0f} tok/s"


def _memory(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
