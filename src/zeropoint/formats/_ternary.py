"""Rounding to -1, 0 and 1, shared by TQ1_0, TQ2_0 and Q2_0."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import half

Codes = npt.NDArray[np.uint8]


def scale_and_codes(x: _search.Floats) -> tuple[npt.NDArray[Any], Codes]:
    """Binary16 scales [...], the largest magnitude of each block [..., n], and codes 0 to 2 [..., n].

    A code is the weight divided by the scale, rounded half away from zero, plus one.
    """
    largest = np.abs(x).max(axis=-1)
    scaled = x * _search.ratio(np.float32(1), largest)[..., None]
    codes = np.where(np.abs(scaled) < 0.5, np.float32(0), np.sign(scaled)) + np.float32(1)
    return half(largest), codes.astype(np.uint8)
