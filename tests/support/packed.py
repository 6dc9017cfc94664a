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
    # These formats have one binary16 super-scale per block: its first two bytes, or four bits of each of the
    # last four 16-bit numbers.
    scales = rng.standard_normal((rows, n_blocks)).astype("<f2") * np.float16(2.0**-10)
    view = blocks.reshape(rows, n_blocks, -1)
    if name == "IQ1_M":
        quarters = scales.view("<u2")[..., None] >> np.array([0, 4, 8, 12], np.uint16) & 15
        view[..., 49::2] = (view[..., 49::2] & 15) | (quarters << 4).astype(np.uint8)
    else:
        view[..., :2] = scales[..., None].view(np.uint8)
    return blocks
