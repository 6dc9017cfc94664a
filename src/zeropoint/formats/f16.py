"""F16: IEEE 754 binary16, little-endian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes

BLOCK_WEIGHTS = 1
BLOCK_BYTES = 2
FILE_TYPE = 1


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 2n] bytes -> [..., n] weights, exact."""
    return split_bytes(packed, np.dtype("<f2")).astype(np.float32)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., n] weights -> [..., 2n] bytes, rounded to nearest even; values beyond 65504 become infinite."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(weights, dtype=np.float32).astype("<f2").view(np.uint8)
