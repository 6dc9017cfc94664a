"""Q2_0: blocks of 64 weights, 2 bits each, and a binary16 scale (18 bytes, 2.25 bits per weight).

w = d * (q - 1), so that a code is -1, 0, 1 or 2; packing uses the first three. A byte has four consecutive
weights, the lowest bits first. Layout: `block_q2_0` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._bits import pack_fields, unpack_fields
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights
from zeropoint.formats._ternary import scale_and_codes

BLOCK_WEIGHTS = 64
BLOCK_BYTES = 18
FILE_TYPE = 41
BLOCK = np.dtype([("d", "<f2"), ("q", "u1", 16)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 18g] bytes -> [..., 64g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q = unpack_fields(blocks["q"], 2, 1).astype(np.float32)
    return (blocks["d"].astype(np.float32)[..., None] * (q - 1)).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 64g] finite weights -> [..., 18g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q2_0")
    blocks = np.empty(groups.shape[:-1], BLOCK)
    blocks["d"], codes = scale_and_codes(groups)
    blocks["q"] = pack_fields(codes, 2, 1)
    return join_bytes(blocks)
