"""IQ3_S: blocks of 256 weights, four to an index of 9 bits, with signs (110 bytes, 3.4375 bits per weight).

w = d * (2 * scale + 1) * point, with a sign each and a 4-bit scale for 32 weights. The lower eight bits of an
index are a byte, the ninth bits of eight indices another. Layout: `block_iq3_s` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._bits import unpack_fields
from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import combine, points, signs

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 110
FILE_TYPE = 26
INSTEAD = "Q3_K"
BLOCK = np.dtype(
    [("d", "<f2"), ("low", "u1", 64), ("high", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4)]
)

LEVELS = (1, 3, 5, 7, 9, 11, 13, 15)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 110g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    index = blocks["low"] | unpack_fields(blocks["high"], 1, 1).astype(np.uint16) << 8
    scales = unpack_fields(blocks["scales"], 4, 1).astype(np.float32)
    scale = blocks["d"].astype(np.float32)[..., None] * (2 * scales + 1)
    sign = signs(blocks["signs"])
    return combine(scale, points("IQ3_S", LEVELS)[index].reshape(sign.shape) * sign)
