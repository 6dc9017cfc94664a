"""Q4_1: blocks of 32 weights, a binary16 scale and minimum, 4 bits each (20 bytes, 5 bits per weight).

w = d * q + m, with d = (max - min) / 15 and m = min; nibbles as in Q4_0. Layout: `block_q4_1` of
ggml-common.h (llama.cpp).
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
BLOCK_BYTES = 20
FILE_TYPE = 3
BLOCK = np.dtype([("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 20g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    d, m = (blocks[field].astype(np.float32)[..., None] for field in ("d", "m"))
    return (d * unpack_nibbles(blocks["q"]).astype(np.float32) + m).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 20g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q4_1")
    low = groups.min(axis=-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        d = (groups.max(axis=-1, keepdims=True) - low) / np.float32(15)
        blocks = np.empty(d.shape[:-1], BLOCK)
        blocks["q"] = pack_nibbles((groups - low) * inverse(d) + np.float32(0.5))
        blocks["d"] = d[..., 0].astype(np.float16)
        blocks["m"] = low[..., 0].astype(np.float16)
    return join_bytes(blocks)
