"""Q5_0: blocks of 32 weights, a binary16 scale and 5 bits each (22 bytes, 5.5 bits per weight).

w = d * (q - 16), where d is the weight of largest magnitude divided by -16. The low four bits are stored as
in Q4_0; bit i of the four bytes before them is the fifth bit of weight i. Layout: `block_q5_0` of
ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import (
    inverse,
    join_bytes,
    pack_five_bits,
    split_bytes,
    split_weights,
    unpack_five_bits,
)

BLOCK_WEIGHTS = 32
BLOCK_BYTES = 22
FILE_TYPE = 8
BLOCK = np.dtype([("d", "<f2"), ("high", "u1", 4), ("q", "u1", 16)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 22g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q = unpack_five_bits(blocks["q"], blocks["high"]).astype(np.float32) - np.float32(16)
    return (blocks["d"].astype(np.float32)[..., None] * q).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 22g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q5_0")
    largest = np.abs(groups).argmax(axis=-1)[..., None]
    d = np.take_along_axis(groups, largest, axis=-1) / np.float32(-16)
    blocks = np.empty(d.shape[:-1], BLOCK)
    with np.errstate(over="ignore", invalid="ignore"):
        blocks["q"], blocks["high"] = pack_five_bits(groups * inverse(d) + np.float32(16.5))
        blocks["d"] = d[..., 0].astype(np.float16)
    return join_bytes(blocks)
