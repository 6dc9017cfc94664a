"""Dettmers' toy data types: I5 holds 0, 1, 2, 3, 4, 5 and I3 holds 0, 2, 4."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest", "rounded_down", "there_and_back"]

Array = NDArray[np.float64]
I3, I5 = np.array([0.0, 2.0, 4.0]), np.arange(6.0)
_VECTOR = np.array([3.0, 1.0, 2.0, 3.0])


def there_and_back(rounding: Callable[[Array, Array], Array]) -> tuple[float, ...]:
    """The vector [3 1 2 3] in I3 (absmax quantisation), then back in I5."""
    absmax = np.abs(_VECTOR).max()
    quantised = rounding(_VECTOR / absmax * I3.max(), I3)
    back = nearest(quantised / I3.max() * absmax, I5)
    return (*quantised.tolist(), *back.tolist())


def nearest(x: Array, grid: Array) -> Array:
    """The value of the grid that lies nearest; half-way, the even neighbour, as IEEE 754 rounds."""
    distance = np.abs(x[:, None] - grid)
    is_near = np.isclose(distance, distance.min(axis=1, keepdims=True))
    return np.array([min(grid[row], key=lambda g: (np.searchsorted(grid, g) % 2, g)) for row in is_near])


def rounded_down(x: Array, grid: Array) -> Array:
    """The largest value of the grid that is not above."""
    return grid[np.searchsorted(grid, x + 1e-9, side="right") - 1]
