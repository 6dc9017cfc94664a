"""F32: IEEE 754 binary32, little-endian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes

BLOCK_WEIGHTS = 1
BLOCK_BYTES = 4
FILE_TYPE = 0


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 4n] bytes -> [..., n] weights; a view if the bytes are contiguous."""
    return split_bytes(packed, np.dtype("<f4"))


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., n] weights -> [..., 4n] bytes."""
    return np.ascontiguousarray(weights, dtype="<f4").view(np.uint8)
