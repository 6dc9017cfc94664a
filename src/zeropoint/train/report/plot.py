"""Draw the loss curves of a run: as PNG or SVG with matplotlib, or in a terminal with plotext."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput, not_installed
from zeropoint.plotting import new_figure
from zeropoint.train.callbacks.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Curve", "draw_png", "draw_svg", "draw_terminal", "read_curve"]

_TRAIN, _VALIDATION, _RATE, _INK = "#2a6fdb", "#d9480f", "#5f6b7a", "#1f2933"
_SMOOTHING = 0.02  # span of the running mean, as a fraction of the run
_MAX_POINTS = 2000  # of the raw curve; more cannot be distinguished


@dataclass(frozen=True)
class Curve:
    """steps, losses, rates: one value per step; eval_*: one per evaluation. Losses in nats per token."""

    steps: Sequence[int]
    losses: Sequence[float]
    rates: Sequence[float]
    eval_steps: Sequence[int]
    eval_losses: Sequence[float]

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the best evaluation, or None."""
        evaluations = zip(self.eval_losses, self.eval_steps, strict=True)
        loss, step = min(evaluations, default=(0.0, -1))
        return None if step < 0 else (step, loss)


def read_curve(run: Path) -> Curve:
    """Read the curve from a run's metrics.jsonl. Raises BadInput for a damaged file."""
    steps, evals = read_metrics(run)
    steps = [event for event in steps if event.get("loss") is not None]
    evals = [event for event in evals if event.get("validation_loss") is not None]
    return Curve(
        [event["step"] for event in steps],
        [event["loss"] for event in steps],
        [event["learning_rate"] for event in steps],
        [event["step"] for event in evals],
        [event["validation_loss"] for event in evals],
    )


def draw_png(curve: Curve, title: str, guess: float | None = None) -> bytes:
    """A PNG of 1600 by 1000 pixels. guess: the loss of guessing, drawn as a dashed line.

    Raises BadInput if matplotlib is missing.
    """
    buffer = io.BytesIO()
    _figure(curve, title, guess).savefig(buffer, format="png", dpi=160)
    return buffer.getvalue()


def draw_svg(curve: Curve, title: str, guess: float | None = None) -> str:
    """The same as one `<svg>` element with real text. Raises BadInput if matplotlib is missing."""
    figure, buffer = _figure(curve, title, guess), io.StringIO()
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "zeropoint"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def draw_terminal(curve: Curve, width: int, height: int = 18, has_color: bool = False) -> str:
    """The curves drawn with characters. Raises BadInput if plotext is missing."""
    try:
        import plotext  # type: ignore[import-untyped]
    except ImportError:
        raise BadInput(not_installed("plotting", "plotext")) from None
    figure = plotext.figure  # the library has one global figure
    figure.clear()
    figure.plot_size(min(width, 100), height)
    figure.theme("colorless")
    steps, losses = _smooth(curve)
    curves = [(steps, losses, "braille", "blue"), (curve.eval_steps, curve.eval_losses, "\u25cf", "red")]
    for xs, ys, mark, color in curves:
        if xs:
            marker = plotext.marker(mark, plotext.pixel(color))
            signal = figure.signal(list(xs), list(ys), marker=marker)
            figure.draw(signal.lines() if mark == "braille" else signal)
    last = max([*curve.steps[-1:], *curve.eval_steps[-1:]], default=0)
    ticks = [last * quarter // 4 for quarter in range(5)]
    figure.ruler("x", "lower").ticks(ticks, list(map(str, ticks)))
    text = str(figure.build().string(colorless=not has_color))
    figure.clear()
    return f"{text.rstrip()}\nloss by step: line = training, \u25cf = validation"


def _figure(curve: Curve, title: str, guess: float | None) -> Figure:
    """Losses above, the learning rate below, over the same steps."""
    figure = new_figure(10, 6.25, "plotting")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    _draw_losses(above, curve, guess)
    below.plot(curve.steps, curve.rates, color=_RATE, linewidth=1.4)
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    for axes in (above, below):
        axes.grid(color="#e3e7ec", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_title(title, loc="left", color=_INK, fontsize=13, fontweight="bold")
    return figure


def _draw_losses(axes: Axes, curve: Curve, guess: float | None) -> None:
    every = max(1, len(curve.steps) // _MAX_POINTS)
    axes.plot(curve.steps[::every], curve.losses[::every], color=_TRAIN, alpha=0.22, linewidth=0.9)
    axes.plot(*_smooth(curve), color=_TRAIN, linewidth=1.8, label="training")
    if curve.eval_steps:
        axes.plot(
            curve.eval_steps, curve.eval_losses, "o-", color=_VALIDATION, ms=4, lw=1.6, label="validation"
        )
    if guess is not None:
        axes.axhline(guess, color=_RATE, linestyle="--", linewidth=1.2, label=f"guessing: {guess:.2f}")
    if curve.best is not None:
        step, loss = curve.best
        axes.annotate(
            f"best {loss:.4f}, step {step}",
            (step, loss),
            xytext=(0, 26),
            textcoords="offset points",
            ha="right" if curve.steps and step > curve.steps[-1] / 2 else "left",
            color=_VALIDATION,
            bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85},
            arrowprops={"arrowstyle": "-", "color": _VALIDATION, "lw": 0.8},
        )
    axes.set_ylabel("loss (nats per token)")
    axes.legend(frameon=False)


def _smooth(curve: Curve) -> tuple[list[int], list[float]]:
    """A running mean of the losses, thinned to at most _MAX_POINTS."""
    span = max(1.0, len(curve.steps) * _SMOOTHING)
    mean, smooth = 0.0, []
    for i, loss in enumerate(curve.losses):
        mean += (loss - mean) / min(i / 8 + 1, span)  # a shorter span near the start
        smooth.append(mean)
    every = max(1, len(smooth) // _MAX_POINTS)
    return list(curve.steps)[::every], smooth[::every]
