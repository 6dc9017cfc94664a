"""Q8_0: blocks of 32 weights, a binary16 scale and an int8 each (34 bytes, 8.5 bits per weight).

w = d * q, with d = max |w| / 127. Layout: `block_q8_0` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import inverse, join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 32
BLOCK_BYTES = 34
FILE_TYPE = 7
BLOCK = np.dtype([("d", "<f2"), ("q", "i1", 32)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 34g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    weights = blocks["q"].astype(np.float32) * blocks["d"].astype(np.float32)[..., None]
    return weights.reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 34g] bytes; ties round away from zero."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q8_0")
    d = np.abs(groups).max(axis=-1) / np.float32(127)
    blocks = np.empty(d.shape, BLOCK)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = groups * inverse(d)[..., None]
        size = np.abs(scaled)
        whole = np.floor(size)
        whole += np.floor(2 * (size - whole))
        blocks["q"] = (np.sign(scaled) * whole).astype(np.int8)
        blocks["d"] = d.astype(np.float16)
    return join_bytes(blocks)
