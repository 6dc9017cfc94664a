"""IQ1_M: blocks of 256 weights, eight to an index of 11 bits (56 bytes, 1.75 bits per weight).

w = d * (2 * scale + 1) * (point + 1/8), with points of -1, 0 and 1 and a 3-bit scale for 16 weights; where a
bit is set for eight weights, point - 1/8. The lower eight bits of an index are a byte, the others and that
bit a nibble. Each of four 16-bit numbers has four scales and, uppermost, four bits of d. Layout:
`block_iq1_m` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._bits import unpack_fields
from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import TERNARY, combine, points

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 56
FILE_TYPE = 31
INSTEAD = "Q2_K"
BLOCK = np.dtype([("low", "u1", 32), ("high", "u1", 16), ("scales", "<u2", 4)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 56g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    words = blocks["scales"]
    quarters = (words >> 12) << np.array([0, 4, 8, 12], np.uint16)
    d = np.bitwise_or.reduce(quarters, axis=-1).astype("<u2").view("<f2")
    scales = (words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & 7).reshape(*words.shape[:-1], 16)
    scale = d.astype(np.float32)[..., None] * (2 * scales.astype(np.float32) + 1)
    high = unpack_fields(blocks["high"], 4, 1).astype(np.uint16)
    shift = np.where(high & 8, np.float32(-0.125), np.float32(0.125))
    return combine(scale, points("IQ1_S", TERNARY)[blocks["low"] | (high & 7) << 8] + shift[..., None])
