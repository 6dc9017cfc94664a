"""Dettmers' toy data types: I5 represents 0, 1, 2, 3, 4, 5 and I3 represents 0, 2, 4."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest", "round_trip", "rounded_down"]

Array = NDArray[np.float64]
I3, I5 = np.array([0.0, 2.0, 4.0]), np.arange(6.0)
_VECTOR = np.array([3.0, 1.0, 2.0, 3.0])


def round_trip(rounding: Callable[[Array, Array], Array]) -> tuple[float, ...]:
    """[3 1 2 3] quantised to I3 (absmax), then dequantised to I5."""
    absmax = np.abs(_VECTOR).max()
    quantised = rounding(_VECTOR / absmax * I3.max(), I3)
    back = nearest(quantised / I3.max() * absmax, I5)
    return (*quantised.tolist(), *back.tolist())


def nearest(x: Array, grid: Array) -> Array:
    """The nearest grid value; ties go to the even neighbour, as in IEEE 754."""
    distance = np.abs(x[:, None] - grid)
    is_near = np.isclose(distance, distance.min(axis=1, keepdims=True))
    return np.array([min(grid[row], key=lambda g: (np.searchsorted(grid, g) % 2, g)) for row in is_near])


def rounded_down(x: Array, grid: Array) -> Array:
    """The largest grid value that is not greater."""
    return grid[np.searchsorted(grid, x + 1e-9, side="right") - 1]
