"""BF16: the upper half of a binary32 (bfloat16), little-endian."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes

BLOCK_WEIGHTS = 1
BLOCK_BYTES = 2
FILE_TYPE = 32


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 2n] bytes -> [..., n] weights, exact."""
    upper = split_bytes(packed, np.dtype("<u2")).astype(np.uint32)
    return (upper << np.uint32(16)).view(np.float32)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., n] weights -> [..., 2n] bytes, rounded to nearest even; a NaN stays a (quiet) NaN."""
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32)
    is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
    # Add half of the last retained place, minus one if that place is even: ties go to even.
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet = (bits >> 16) | 0x40
    return np.where(is_nan, quiet, rounded).astype("<u2").view(np.uint8)
