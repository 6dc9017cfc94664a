"""Q1_0: blocks of 128 weights, a sign each, and a binary16 scale (18 bytes, 1.125 bits per weight).

w = d if the weight's bit is set, else -d. Bits in order, lowest first; the scale is the mean magnitude. For
models trained with two weights, such as Bonsai. Layout: `block_q1_0` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._bits import half
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 128
BLOCK_BYTES = 18
FILE_TYPE = 40
BLOCK = np.dtype([("d", "<f2"), ("q", "u1", 16)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 18g] bytes -> [..., 128g] weights."""
    blocks = split_bytes(packed, BLOCK)
    signs = np.unpackbits(blocks["q"], axis=-1, bitorder="little").astype(np.float32) * 2 - 1
    return (blocks["d"].astype(np.float32)[..., None] * signs).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 128g] finite weights -> [..., 18g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q1_0")
    blocks = np.empty(groups.shape[:-1], BLOCK)
    # Add the magnitudes in order, as the reference does: another order rounds differently.
    with np.errstate(over="ignore"):
        sums: npt.NDArray[np.float32] = np.add.accumulate(np.abs(groups), axis=-1)[..., -1]
    blocks["d"] = half(sums / np.float32(BLOCK_WEIGHTS))
    blocks["q"] = np.packbits(groups >= 0, axis=-1, bitorder="little")
    return join_bytes(blocks)
