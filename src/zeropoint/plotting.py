"""A figure of matplotlib, an optional package, that prints nothing while it is imported or drawn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput, not_installed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure"]


def new_figure(width: float, height: float, purpose: str = "drawing a picture") -> Figure:
    """An empty figure, in inches. Raises BadInput, naming the purpose, if matplotlib is not installed.

    The library logs that it builds a font cache, or that its cache folder is not writable. Neither changes
    the picture, so only its errors are logged, unless the program has configured its logger.
    """
    logger = logging.getLogger("matplotlib")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    try:
        from matplotlib.figure import Figure  # not pyplot, which keeps every figure and needs a display
    except ImportError:
        raise BadInput(not_installed(purpose, "matplotlib")) from None
    return Figure(figsize=(width, height), layout="constrained")
