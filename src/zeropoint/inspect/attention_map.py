"""Draw attention weights with matplotlib: one row of maps per layer, one map per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint.inspect.figures import plain, png_of
from zeropoint.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_maps"]

_INCHES_PER_TOKEN = 0.2
_INCHES_FOR_LABELS = 0.9


def draw_maps(
    title: str, maps: Sequence[NDArray[np.float32]], queries: Sequence[str], keys: Sequence[str]
) -> bytes:
    """A PNG of the attention weights [H, T, S] of several layers: darker is larger, on the same scale
    everywhere.

    queries: labels of the rows. keys: labels of the columns. Raises BadInput if matplotlib is not installed.
    """
    n_layers, n_heads = len(maps), len(maps[0])
    width = n_heads * (len(keys) * _INCHES_PER_TOKEN + 0.3) + _INCHES_FOR_LABELS
    height = n_layers * (len(queries) * _INCHES_PER_TOKEN + 0.5) + _INCHES_FOR_LABELS
    figure = new_figure(width, height)
    figure.suptitle(title)
    all_axes = figure.subplots(n_layers, n_heads, squeeze=False, sharex=True, sharey=True)
    for layer, weights_HTS in enumerate(maps):
        for head, weights_TS in enumerate(weights_HTS):
            _draw(all_axes[layer][head], weights_TS, f"layer {layer}, head {head}")
    for axes in all_axes[:, 0]:
        axes.set_yticks(range(len(queries)), plain(queries), fontsize=7)
    for axes in all_axes[-1]:
        axes.set_xticks(range(len(keys)), plain(keys), fontsize=7, rotation=90)
    return png_of(figure)


def _draw(axes: Axes, weights_TS: NDArray[np.float32], name: str) -> None:
    axes.imshow(weights_TS, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
    axes.set_title(name, fontsize=8)
    axes.tick_params(length=0)
