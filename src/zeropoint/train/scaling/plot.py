"""Plot a scaling law: measured runs, fitted curves with confidence bands, and the checked prediction."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zeropoint.files.atomic_write import replace_file
from zeropoint.plotting import new_figure
from zeropoint.train.scaling.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_law"]

_N_POINTS = 40  # of a curve
_MARGIN = 1.6  # the curves extend past the outermost runs by this factor


def draw_law(study: Study, path: Path) -> None:
    """Write the plot as PNG (about 60 KB). Raises BadInput if matplotlib is not installed, DiskError."""
    figure = new_figure(9.6, 4.2, "plotting")
    from matplotlib import colormaps

    by_tokens, by_size = figure.subplots(1, 2, sharey=True)
    _panel(by_tokens, study, colormaps["viridis"], over_tokens=True)
    _panel(by_size, study, colormaps["viridis"], over_tokens=False)
    by_tokens.set_ylabel("validation loss, nats per token")
    by_tokens.set_xlabel("tokens seen")
    by_size.set_xlabel("parameters without embeddings")
    law = study.fit.law
    figure.suptitle(
        f"L(N, D) = {law.E:.2f} + {law.A:.3g} / N^{law.alpha:.2f} + {law.B:.3g} / D^{law.beta:.2f}, 90 %",
        fontsize=10,
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    replace_file(path, png.getvalue())


def _panel(axes: Axes, study: Study, colors: Any, *, over_tokens: bool) -> None:
    """Loss over one of tokens and parameters, with a curve for each value of the other."""
    cells = [(run.cell.n_tokens if over_tokens else run.cell.n_parameters) for run in study.runs]
    others = [(run.cell.n_parameters if over_tokens else run.cell.n_tokens) for run in study.runs]
    next_cell = study.prediction.cell
    x_next, other_next = next_cell.n_tokens, next_cell.n_parameters
    if not over_tokens:
        x_next, other_next = other_next, x_next
    lines = [*sorted(set(others)), other_next]
    xs = np.geomspace(min(cells) / _MARGIN, max(x_next, *cells) * _MARGIN, _N_POINTS)
    for i, other in enumerate(lines):
        color = colors(0.9 * i / max(1, len(lines) - 1))
        points = [(x, other) if not over_tokens else (other, x) for x in xs]
        low, high = np.array([study.fit.band(*point) for point in points]).T
        axes.fill_between(xs, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(xs, [float(study.fit.law.loss(*p)) for p in points], color=color, linewidth=1)
        at = [run for run, o in zip(study.runs, others, strict=True) if o == other]
        x_at = [run.cell.n_tokens if over_tokens else run.cell.n_parameters for run in at]
        axes.plot(x_at, [run.loss for run in at], "o", color=color, markersize=4, label=_short(other))
    prediction = study.prediction
    axes.errorbar(
        [x_next],
        [prediction.loss],
        yerr=[[prediction.loss - prediction.lower], [prediction.upper - prediction.loss]],
        fmt="_",
        color="black",
        capsize=3,
        label="predicted",
    )
    axes.plot([x_next], [study.checked.loss], "*", color="crimson", markersize=9, label="measured")
    axes.set_xscale("log")
    axes.legend(title="parameters" if over_tokens else "tokens", fontsize=7, title_fontsize=7)


def _short(n: int) -> str:
    return f"{n / 1e6:.2g} M" if n >= 1e6 else f"{n / 1e3:.3g} k"
