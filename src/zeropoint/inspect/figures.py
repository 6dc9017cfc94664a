"""Figures of matplotlib, an optional package, and their labels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput, not_installed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "plain", "png_of"]


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. Raises BadInput if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # not pyplot, which keeps every figure and needs a display
    except ImportError:
        raise BadInput(not_installed("drawing a picture", "matplotlib")) from None
    return Figure(figsize=(width, height), layout="constrained")


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG. A character that the font lacks is drawn as a box."""
    png = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def plain(names: Sequence[str]) -> list[str]:
    """The labels with dollar signs escaped, which start a formula in matplotlib."""
    return [name.replace("$", r"\$") for name in names]
