"""Attention drawn: a picture for each kind, a row of squares a layer, a square a head (matplotlib)."""

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

_INCHES_A_TOKEN = 0.2
_INCHES_OF_NAMES = 0.9


def draw_maps(
    title: str, maps: Sequence[NDArray[np.float32]], queries: Sequence[str], keys: Sequence[str]
) -> bytes:
    """A PNG of the weights [H, T, S] of several layers: darker is more, the same scale in all squares.

    queries: the tokens that look, rows; keys: those looked at, columns. Raises BadInput without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BadInput(
            "pictures are drawn by matplotlib, which is not installed; run `pip install 'zeropoint[train]'`"
        ) from None
    n_layers, n_heads = len(maps), len(maps[0])
    wide = n_heads * (len(keys) * _INCHES_A_TOKEN + 0.3) + _INCHES_OF_NAMES
    high = n_layers * (len(queries) * _INCHES_A_TOKEN + 0.5) + _INCHES_OF_NAMES
    figure = Figure(figsize=(wide, high), layout="constrained")
    figure.suptitle(title)
    all_axes = figure.subplots(n_layers, n_heads, squeeze=False, sharex=True, sharey=True)
    for layer, weights_HTS in enumerate(maps):
        for head, weights_TS in enumerate(weights_HTS):
            _draw(all_axes[layer][head], weights_TS, f"layer {layer}, head {head}")
    for axes in all_axes[:, 0]:
        axes.set_yticks(range(len(queries)), _plain(queries), fontsize=7)
    for axes in all_axes[-1]:
        axes.set_xticks(range(len(keys)), _plain(keys), fontsize=7, rotation=90)
    made = io.BytesIO()
    figure.savefig(made, format="png", dpi=110)
    return made.getvalue()


def _draw(axes: Axes, weights_TS: NDArray[np.float32], name: str) -> None:
    axes.imshow(weights_TS, cmap="Blues", vmin=0.0, vmax=1.0, aspect="equal")
    axes.set_title(name, fontsize=8)
    axes.tick_params(length=0)


def _plain(names: Sequence[str]) -> list[str]:
    """A dollar begins a formula in matplotlib, and a token may be one."""
    return [name.replace("$", r"\$") for name in names]
