"""Packed weights in every number format, also in those that are read but never written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zeropoint import formats

__all__ = ["packed_matrix"]


def packed_matrix(name: str, rows: int, cols: int, seed: int) -> NDArray[np.uint8]:
    """A matrix [rows, cols] of weights of about 0.05 in the layout of files: uint8 [rows, bytes per row]."""
    rng = np.random.default_rng(seed)
    form = formats.get(name)
    if name in formats.writable():
        return form.pack(rng.standard_normal((rows, cols)).astype(np.float32) * np.float32(0.05))
    n_blocks = cols // form.BLOCK_WEIGHTS
    blocks = rng.integers(0, 256, (rows, n_blocks * form.BLOCK_BYTES), dtype=np.uint8)
    # These formats have one binary16 super-scale per block, their first two bytes.
    scales = rng.standard_normal((rows, n_blocks)).astype("<f2") * np.float16(2.0**-10)
    blocks.reshape(rows, n_blocks, -1)[..., :2] = scales[..., None].view(np.uint8)
    return blocks
