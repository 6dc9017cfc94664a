"""TQ2_0: blocks of 256 ternary weights, 2 bits each, and a binary16 scale (66 bytes, 2.0625 bits per weight).

w = d * (q - 1). The four 2-bit fields of 32 bytes are 32 weights each. For models trained with weights of
-1, 0 and 1, such as BitNet. Layout: `block_tq2_0` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._bits import pack_fields, unpack_fields
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights
from zeropoint.formats._ternary import scale_and_codes

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 66
FILE_TYPE = 37
BLOCK = np.dtype([("q", "u1", 64), ("d", "<f2")])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 66g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q = unpack_fields(blocks["q"], 2, 32).astype(np.float32)
    return (blocks["d"].astype(np.float32)[..., None] * (q - 1)).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 66g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "TQ2_0")
    blocks = np.empty(groups.shape[:-1], BLOCK)
    blocks["d"], codes = scale_and_codes(groups)
    blocks["q"] = pack_fields(codes, 2, 32)
    return join_bytes(blocks)
