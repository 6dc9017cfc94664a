"""Lattices and signs, shared by the formats of this folder."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint import _native

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

EIGHT_COLUMNS = (8, 25, 43)
"""The levels of the lattices of IQ2_XXS, IQ2_XS and IQ2_S."""
TERNARY = (-1, 0, 1)
"""The levels of the lattice of IQ1_S and IQ1_M."""


@cache
def points(name: str, levels: tuple[int, ...]) -> Floats:
    """The points [n, columns] of a lattice, with the values of its levels."""
    return np.array(levels, np.float32)[_native.lattice(name)]


def signs(bits: Bytes) -> Floats:
    """Bytes [...] to factors [..., 8]: -1 where a bit is set, else 1; the lowest bit first."""
    return 1 - 2 * np.unpackbits(bits[..., None], axis=-1, bitorder="little").astype(np.float32)


def seven_signs(codes: npt.NDArray[Any]) -> Floats:
    """Codes [...] of seven bits to factors [..., 8]; the number of negative ones is even."""
    bits: Bytes = (codes & 127).astype(np.uint8)
    parity = bits.copy()
    for shift in (4, 2, 1):
        parity ^= parity >> np.uint8(shift)
    return signs(bits | parity << np.uint8(7))


def two_scales(d: npt.NDArray[Any], scales: Bytes) -> Floats:
    """Scales [..., 16], d * (scale + 1/2) / 4, from bytes [..., 8] with two nibbles each."""
    nibbles = np.stack([scales & 15, scales >> 4], axis=-1).reshape(*scales.shape[:-1], -1)
    return d.astype(np.float32)[..., None] * (nibbles.astype(np.float32) + np.float32(0.5)) * np.float32(0.25)


def combine(scale: Floats, points: Floats) -> Floats:
    """Weights [..., 256g] from scales [..., g, n] and the points of 256 / n weights each, of any shape."""
    weights: Floats = scale[..., None] * points.reshape(*scale.shape, -1)
    return weights.reshape(*scale.shape[:-2], -1)
