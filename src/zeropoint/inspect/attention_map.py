"""Draw attention weights with matplotlib: one row of maps per layer, one map per head."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput

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
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput(
            "drawing attention maps needs matplotlib; install it with `pip install 'zeropoint[train]'`"
        ) from None
    n_layers, n_heads = len(maps), len(maps[0])
    width = n_heads * (len(keys) * _INCHES_PER_TOKEN + 0.3) + _INCHES_FOR_LABELS
    height = n_layers * (len(queries) * _INCHES_PER_TOKEN + 0.5) + _INCHES_FOR_LABELS
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title)
    all_axes = figure.subplots(n_layers, n_heads, squeeze=False, sharex=True, sharey=True)
    for layer, weights_HTS in enumerate(maps):
        for head, weights_TS in enumerate(weights_HTS):
            _draw(all_axes[layer][head], weights_TS, f"layer {layer}, head {head}")
    for axes in all_axes[:, 0]:
        axes.set_yticks(range(len(queries)), _escaped(queries), fontsize=7)
    for axes in all_axes[-1]:
        axes.set_xticks(range(len(keys)), _escaped(keys), fontsize=7, rotation=90)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _draw(axes: Axes, weights_TS: NDArray[np.float32], name: str) -> None:
    axes.imshow(weights_TS, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
    axes.set_title(name, fontsize=8)
    axes.tick_params(length=0)


def _escaped(names: Sequence[str]) -> list[str]:
    """Escape dollar signs, which start a formula in matplotlib."""
    return [name.replace("$", r"\$") for name in names]
