"""Draw a `Report` as one PNG, with the views and explanations of `page.py`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.session.results import LensResult, percent, visible
from zeropoint.inspect.figures import plain, png_of
from zeropoint.inspect.page import EXPLANATIONS, introduction
from zeropoint.plotting import new_figure
from zeropoint.tokenizers.core.sanitize import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zeropoint.inspect.report import Report

__all__ = ["draw_png"]

_BLUE, _MIN_WIDTH, _CHARACTERS_PER_INCH = "#2a6fdb", 8.0, 13
_MAX_TILE = 0.55  # inches of a head's square in the overview
_HEAD, _HEADS_PER_ROW = 2.6, 4


@dataclass(frozen=True)
class _View:
    """A view of a size in inches. draw: fills the figure."""

    heading: str
    width: float
    height: float
    draw: Callable[[Figure], None]


def draw_png(report: Report) -> bytes:
    """The views of a report, one below the other. Raises BadInput if matplotlib is not installed."""
    views = list(_views(report))
    width = max([_MIN_WIDTH, *(view.width for view in views)])
    texts = {view.heading: _wrapped(EXPLANATIONS[view.heading], width) for view in views}
    heights = [view.height + 0.6 + 0.17 * texts[view.heading].count("\n") for view in views]
    text = printable("".join(report.texts))
    title = f"{_wrapped(text, width)}\n{_wrapped(introduction(report), width)}"
    figure = new_figure(width, sum(heights) + 0.3 + 0.2 * title.count("\n"))
    figure.suptitle(plain([title])[0], x=0.01, ha="left", fontsize=9)
    parts = figure.subfigures(len(views), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, view in zip(parts, views, strict=True):
        bold = view.heading.replace(" ", r"\ ")
        part.suptitle(f"$\\bf{{{bold}}}$\n{texts[view.heading]}", x=0.01, ha="left", fontsize=9)
        view.draw(part)
    return png_of(figure)


def _views(report: Report) -> list[_View]:
    n, views = len(report.texts), []
    if report.options.has_logprobs:
        draw = lambda part: _draw_probabilities(part.subplots(), report)  # noqa: E731
        views.append(_View("Token probabilities", _MIN_WIDTH, 0.24 * (n + 1) + 0.3, draw))
    if report.options.has_lens:
        lens = report.logit_lens()
        draw = lambda part: _draw_lens(part.subplots(), lens)  # noqa: E731
        views.append(_View("Logit lens", 0.95 * (n + len(lens.named)) + 0.8, 0.2 * len(lens) + 0.8, draw))
    if report.overview:
        tile = max(_MAX_TILE, (n + 1) / 110)
        height, width = (tile * k for k in (len(report.overview), len(report.overview[0])))
        draw = lambda part: _draw_overview(part.subplots(), report.overview)  # noqa: E731
        views.append(_View("Attention by layer and head", width + 1, height + 0.4, draw))
    if report.attention:
        n_rows = -(-len(report.attention) // _HEADS_PER_ROW)
        side = max(_HEAD, 0.18 * n + 0.8)
        draw = lambda part: _draw_heads(part, report, n_rows)  # noqa: E731
        views.append(_View("Attention of single heads", side * _HEADS_PER_ROW, (side + 0.4) * n_rows, draw))
    return views


def _draw_probabilities(axes: Axes, report: Report) -> None:
    """Draw a bar for each token, labelled with the most probable token."""
    probabilities = [0.0, *np.exp(report.last.next_logprobs).tolist(), 0.0]
    labels = [*map(visible, report.texts), "(next)"]
    axes.barh(range(len(labels)), probabilities, color=_BLUE, height=0.7)
    for row, (probability, best) in enumerate(zip(probabilities, _best(report), strict=True)):
        has_bar = 0 < row < len(report.texts)
        text = f"{probability:.1%}   {best}" if has_bar else best
        axes.text(probability + 0.01, row, plain([text])[0], va="center", fontsize=7)
    axes.set_yticks(range(len(labels)), plain(labels), fontsize=8)
    axes.set_xlim(0, 1.6)
    axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=7)
    axes.invert_yaxis()
    _without_frame(axes)


def _best(report: Report) -> list[str]:
    """What the model expected at each token and after the last one; nothing before the first."""
    top = zip(report.last.top_ids[:, 0].tolist(), report.last.top_logprobs[:, 0].tolist(), strict=True)
    return ["", *(f"expected {visible(report.spelled[index])} ({np.exp(p):.1%})" for index, p in top)]


def _draw_lens(axes: Axes, lens: LensResult) -> None:
    """The most probable token in each cell; at the right, the probability of each named token at the end."""
    logprobs_LT = [np.append(rows.top_logprobs[:, 0], rows.named_logprobs[-1]) for rows in lens]
    axes.imshow(np.exp(logprobs_LT), cmap="Blues", vmin=0, vmax=1.8, aspect="auto")  # text stays readable
    for row, rows in enumerate(lens):
        labels = [_cut(visible(lens.spelling[index])) for index in rows.top_ids[:, 0].tolist()]
        labels += map(percent, rows.named_logprobs[-1].tolist())
        for column, label in enumerate(plain(labels)):
            axes.text(column, row, label, ha="center", va="center", fontsize=7)
    axes.set_yticks(range(len(lens)), [f"layer {rows.layer}" for rows in lens], fontsize=7)
    names = [_cut(visible(text)) for text in lens.texts]
    names += [f"P({_cut(visible(lens.spelling[index]))})" for index in lens.named]
    axes.set_xticks(range(len(names)), plain(names), fontsize=8)
    axes.xaxis.tick_top()
    _without_frame(axes)


def _draw_overview(axes: Axes, overview: list[NDArray[np.float32]]) -> None:
    n_layers, (n_heads, n, _) = len(overview), overview[0].shape
    tiles = np.full((n_layers, n + 1, n_heads, n + 1), np.nan, np.float32)
    for layer, weights_HTT in enumerate(overview):
        tiles[layer, :n, :, :n] = weights_HTT.swapaxes(0, 1)
    picture = tiles.reshape(n_layers * (n + 1), n_heads * (n + 1))
    axes.imshow(picture, cmap="Blues", vmin=0, vmax=1, aspect="equal", interpolation="nearest")
    middles = (np.arange(max(n_layers, n_heads)) + 0.5) * (n + 1) - 1
    axes.set_yticks(middles[:n_layers], [f"layer {i}" for i in range(n_layers)], fontsize=7)
    axes.set_xticks(middles[:n_heads], [f"head {i}" for i in range(n_heads)], fontsize=7)
    axes.xaxis.tick_top()
    axes.set_anchor("W")
    axes.hlines(np.arange(1, n_layers) * (n + 1) - 1, -0.5, picture.shape[1] - 1, color="#dde3ea", lw=0.8)
    axes.vlines(np.arange(1, n_heads) * (n + 1) - 1, -0.5, picture.shape[0] - 1, color="#dde3ea", lw=0.8)
    _without_frame(axes)


def _draw_heads(part: Figure, report: Report, n_rows: int) -> None:
    all_axes = part.subplots(n_rows, _HEADS_PER_ROW, squeeze=False)
    labels = plain([_cut(visible(text)) for text in report.texts])
    for axes, ((layer, head), weights_TT) in zip(all_axes.flat, report.attention.items(), strict=False):
        axes.imshow(weights_TT, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        axes.set_title(f"layer {layer}, head {head}", fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        axes.set_xticks(range(len(labels)), labels, fontsize=7, rotation=90)
        axes.tick_params(length=0)
    for axes in all_axes.flat[len(report.attention) :]:
        axes.set_visible(False)


def _without_frame(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _cut(label: str) -> str:
    return label if len(label) <= 12 else label[:11] + "\u2026"


def _wrapped(text: str, width: float) -> str:
    return textwrap.fill(text, int(width * _CHARACTERS_PER_INCH))
