"""IQ1_S: blocks of 256 weights, eight to an index of 11 bits (50 bytes, 1.5625 bits per weight).

w = d * (2 * scale + 1) * (point + 1/8), with points of -1, 0 and 1; where a bit is set for 32 weights,
point - 1/8. The lower eight bits of an index are a byte. For every 32 weights, a 16-bit number has the other
bits of four indices, a 3-bit scale and that bit. Layout: `block_iq1_s` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import TERNARY, combine, points

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 50
FILE_TYPE = 24
INSTEAD = "Q2_K"
BLOCK = np.dtype([("d", "<f2"), ("low", "u1", (8, 4)), ("high", "<u2", 8)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 50g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    words = blocks["high"]
    index = blocks["low"] | (words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & 7) << 8
    scale = blocks["d"].astype(np.float32)[..., None] * (2 * (words >> 12 & 7).astype(np.float32) + 1)
    shift = np.where(words >> 15, np.float32(-0.125), np.float32(0.125))
    return combine(scale, points("IQ1_S", TERNARY)[index] + shift[..., None, None])
