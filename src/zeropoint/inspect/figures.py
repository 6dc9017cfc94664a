"""Pictures of matplotlib figures, and their labels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plain", "png_of"]


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
