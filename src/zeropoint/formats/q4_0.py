"""Q4_0: blocks of 32 weights, a binary16 scale and 4 bits each (18 bytes, 4.5 bits per weight).

w = d * (q - 8), where d is the weight of largest magnitude divided by -8. The low nibbles of the 16 bytes are
weights 0 to 15, the high nibbles 16 to 31. Layout: `block_q4_0` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import (
    inverse,
    join_bytes,
    pack_nibbles,
    split_bytes,
    split_weights,
    unpack_nibbles,
)

BLOCK_WEIGHTS = 32
BLOCK_BYTES = 18
FILE_TYPE = 2
BLOCK = np.dtype([("d", "<f2"), ("q", "u1", 16)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 18g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q = unpack_nibbles(blocks["q"]).astype(np.float32) - np.float32(8)
    return (blocks["d"].astype(np.float32)[..., None] * q).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 18g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q4_0")
    largest = np.abs(groups).argmax(axis=-1)[..., None]
    d = np.take_along_axis(groups, largest, axis=-1) / np.float32(-8)
    blocks = np.empty(d.shape[:-1], BLOCK)
    with np.errstate(over="ignore", invalid="ignore"):
        blocks["q"] = pack_nibbles(groups * inverse(d) + np.float32(8.5))
        blocks["d"] = d[..., 0].astype(np.float16)
    return join_bytes(blocks)
