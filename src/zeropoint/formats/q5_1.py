"""Q5_1: blocks of 32 weights, a binary16 scale and minimum, 5 bits each (24 bytes, 6 bits per weight).

w = d * q + m, with d = (max - min) / 31 and m = min; codes as in Q5_0. Layout: `block_q5_1` of
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
BLOCK_BYTES = 24
FILE_TYPE = 9
BLOCK = np.dtype([("d", "<f2"), ("m", "<f2"), ("high", "u1", 4), ("q", "u1", 16)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 24g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    d, m = (blocks[field].astype(np.float32)[..., None] for field in ("d", "m"))
    q = unpack_five_bits(blocks["q"], blocks["high"]).astype(np.float32)
    return (d * q + m).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 24g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q5_1")
    low = groups.min(axis=-1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        d = (groups.max(axis=-1, keepdims=True) - low) / np.float32(31)
        blocks = np.empty(d.shape[:-1], BLOCK)
        blocks["q"], blocks["high"] = pack_five_bits((groups - low) * inverse(d) + np.float32(0.5))
        blocks["d"] = d[..., 0].astype(np.float16)
        blocks["m"] = low[..., 0].astype(np.float16)
    return join_bytes(blocks)
