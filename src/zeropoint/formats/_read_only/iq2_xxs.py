"""IQ2_XXS: blocks of 256 weights, eight to an index of 8 bits, with signs (66 bytes, 2.0625 bits per weight).

w = d * (scale + 1/2) / 4 * point, with a sign each. For every 32 weights, four indices, and a 32-bit number
with four times seven signs and a 4-bit scale; the eighth sign makes the number of negative weights even.
Layout: `block_iq2_xxs` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import EIGHT_COLUMNS, combine, points, seven_signs

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 66
FILE_TYPE = 19
INSTEAD = "Q2_K"
BLOCK = np.dtype([("d", "<f2"), ("q", [("index", "u1", 4), ("signs", "<u4")], 8)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 66g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q, words = blocks["q"]["index"], blocks["q"]["signs"]
    scale = blocks["d"].astype(np.float32)[..., None] * ((words >> 28).astype(np.float32) + np.float32(0.5))
    sign = seven_signs(words[..., None] >> np.array([0, 7, 14, 21], np.uint32))
    return combine(scale * np.float32(0.25), points("IQ2_XXS", EIGHT_COLUMNS)[q] * sign)
