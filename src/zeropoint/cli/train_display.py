"""Display of a training run: a progress bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from zeropoint.cli.console import Console
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, RunInfo, StepInfo
from zeropoint.train.config.duration import parse_duration

__all__ = ["LineDisplay", "ProgressBar", "StepBar", "step_bar", "train_display"]

_LINE_EVERY_S = 10.0
_MAX_AVERAGED_STEPS = 20  # span of the running averages of loss and speed, late in a run


@contextlib.contextmanager
def train_display(console: Console) -> Iterator[Callback]:
    """A progress bar on a terminal, otherwise lines; nothing with -q. A failed run removes the bar too."""
    display = _choose_display(console)
    try:
        yield display
    finally:
        if isinstance(display, ProgressBar):
            display.close()


def _choose_display(console: Console) -> Callback:
    if console.is_quiet:
        return Callback()
    return ProgressBar(console) if _has_bars(console) else LineDisplay(console)


def _has_bars(console: Console) -> bool:
    is_plain = console.environ.get("TERM") == "dumb" or bool(console.environ.get("CI"))
    return sys.stderr.isatty() and not is_plain


@contextlib.contextmanager
def step_bar(console: Console) -> Iterator[StepBar]:
    """The progress of short trainings, one after another: a bar on a terminal, otherwise lines."""
    bar = StepBar(console)
    try:
        yield bar
    finally:
        bar.pause()


class StepBar:
    """Shows the steps of a training on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._progress: Any = None
        self._last_s = time.monotonic()

    def update(self, name: str, step: int, n_steps: int, loss: float) -> None:
        """A training took a step; another name begins a new bar."""
        if self._console.is_quiet or (step % 10 and step != n_steps):
            return
        if _has_bars(self._console):
            self._update_bar(name, step, n_steps, loss)
        elif time.monotonic() - self._last_s >= _LINE_EVERY_S:
            self._last_s = time.monotonic()
            self._console.warning(f"{name}: step {step:,}/{n_steps:,}, loss {loss:.4f}")

    def pause(self) -> None:
        """Remove the bar, so that a result can be printed."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _update_bar(self, name: str, step: int, n_steps: int, loss: float) -> None:
        from rich import progress

        if self._progress is None or self._name != name:
            self.pause()
            self._name = name
            self._progress = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                progress.TextColumn("{task.fields[status]}", markup=False),
                progress.TimeRemainingColumn(),
                console=self._console.rich(sys.stderr),
                transient=True,
            )
            self._task = self._progress.add_task(printable(name), total=n_steps, status="")
            self._progress.start()
        self._progress.update(self._task, completed=step, status=f"loss {loss:.3f}")


class RunningAverage:
    """Running averages of loss and speed, and the time left."""

    def __init__(self, info: RunInfo) -> None:
        self.loss: float | None = None
        self.tok_s: float | None = None
        self._info = info
        self._budget_s = parse_duration(info.config.train.time_budget, "train.time_budget")
        self._start_s, self._first_step = time.monotonic(), info.first_step

    def update(self, info: StepInfo) -> None:
        """Include a step."""
        span = min(_MAX_AVERAGED_STEPS, (info.step - self._first_step) / 8 + 1)
        self.loss = info.loss if self.loss is None else self.loss + (info.loss - self.loss) / span
        self.tok_s = info.tok_s if self.tok_s is None else self.tok_s + (info.tok_s - self.tok_s) / span

    def seconds_left(self, step: int) -> float:
        """Extrapolated from the steps of this process; at most the rest of the time budget."""
        elapsed_s = time.monotonic() - self._start_s
        left_s = elapsed_s / max(step - self._first_step, 1) * (self._info.n_steps - step)
        return left_s if self._budget_s is None else max(0.0, min(left_s, self._budget_s - elapsed_s))


class ProgressBar(Callback):
    """A rich progress bar on stderr, with samples printed above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Any = None

    def on_start(self, info: RunInfo) -> None:
        from rich import progress

        self._average, self._info, self._validation = RunningAverage(info), info, ""
        _print_start(self._console, info)
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            progress.TextColumn("{task.fields[status]}", markup=False),
            console=self._console.rich(sys.stderr),
            transient=True,
            expand=True,
        )
        name = printable(info.folder.name)
        self._task = self._progress.add_task(name, total=info.n_steps, completed=info.first_step, status="")
        self._progress.start()

    def on_step(self, info: StepInfo) -> None:
        self._average.update(info)
        status = f"loss {self._average.loss:.3f}{self._validation} · {_speed(self._average.tok_s)}"
        left = _clock(self._average.seconds_left(info.step))
        self._progress.update(
            self._task, completed=info.step, status=f"{status} · {left} left · {_memory(info.memory_bytes)}"
        )

    def on_eval(self, info: EvalInfo) -> None:
        self._validation = f" · validation {info.validation_loss:.3f}"

    def on_sample(self, step: int, text: str) -> None:
        self._print(f"sample after step {step}:", "dim")
        self._print(printable_lines(text))

    def on_notice(self, text: str) -> None:
        self._pause_for(lambda: self._console.warning(text))

    def on_end(self, result: Result) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar. Safe to call before `on_start`."""
        if self._progress is not None:
            self._progress.stop()

    def _print(self, text: str, style: str | None = None) -> None:
        self._progress.console.print(text, style=style)

    def _pause_for(self, write: Callable[[], None]) -> None:
        if self._progress is None:
            write()
        else:
            self._progress.stop()
            write()
            self._progress.start()


class LineDisplay(Callback):
    """Lines on stderr: one for each evaluation, and one every ten seconds in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_line_s = time.monotonic()

    def on_start(self, info: RunInfo) -> None:
        self._average, self._info = RunningAverage(info), info
        _print_start(self._console, info)

    def on_step(self, info: StepInfo) -> None:
        self._average.update(info)
        if time.monotonic() - self._last_line_s >= _LINE_EVERY_S:
            left = _clock(self._average.seconds_left(info.step))
            status = f"loss {self._average.loss:.4f}, {_speed(self._average.tok_s)}, {left} left"
            self._print(f"step {info.step}/{self._info.n_steps}: {status}, {_memory(info.memory_bytes)}")

    def on_eval(self, info: EvalInfo) -> None:
        train = "" if info.train_loss is None else f"training {info.train_loss:.4f}, "
        best = ", the best so far" if info.is_best and info.step else ""
        self._print(
            f"step {info.step}/{self._info.n_steps}: {train}validation {info.validation_loss:.4f}{best}"
        )

    def on_sample(self, step: int, text: str) -> None:
        if self._console.is_verbose:
            self._print(f"sample after step {step}: {text!r}")

    def on_notice(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        self._last_line_s = time.monotonic()
        self._console.warning(text)


def printable_lines(text: str) -> str:
    """The text with control characters escaped, except newlines."""
    return "\n".join(printable(line, 4000) for line in text.split("\n"))


def _print_start(console: Console, info: RunInfo) -> None:
    # Sentence pairs vary in length, so a step has a fixed number of pairs, not of tokens.
    is_pairs = info.config.objective.data == "pairs"
    size = f"{info.config.train.batch_size:,} pairs" if is_pairs else f"{info.n_tokens_per_step:,} tokens"
    resumed = f", resuming after step {info.first_step}" if info.first_step else ""
    console.warning(
        f"training {info.n_parameters:,} parameters for {info.n_steps:,} steps of {size} in "
        f"{info.folder}{resumed}; guessing among {info.n_vocab:,} tokens has a loss of "
        f"{math.log(info.n_vocab):.2f}; "
        "Ctrl-C saves a checkpoint and stops"
    )


def _speed(tok_s: float | None) -> str:
    return f"{tok_s or 0:,.0f} tok/s"


def _memory(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
