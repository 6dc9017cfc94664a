"""IQ3_XXS: blocks of 256 weights, four to an index of 8 bits, with signs (98 bytes, 3.0625 bits per weight).

w = d * (scale + 1/2) / 2 * point, with a sign each. For every 32 weights, a 32-bit number has four times
seven signs and a 4-bit scale, as in IQ2_XXS. Layout: `block_iq3_xxs` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import combine, points, seven_signs

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 98
FILE_TYPE = 23
INSTEAD = "Q3_K"
BLOCK = np.dtype([("d", "<f2"), ("q", "u1", 64), ("signs", "<u4", 8)])

LEVELS = (4, 12, 20, 28, 36, 44, 52, 62)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 98g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    words = blocks["signs"]
    scale = blocks["d"].astype(np.float32)[..., None] * ((words >> 28).astype(np.float32) + np.float32(0.5))
    sign = seven_signs(words[..., None] >> np.array([0, 7, 14, 21], np.uint32))
    return combine(scale * np.float32(0.5), points("IQ3_XXS", LEVELS)[blocks["q"]].reshape(sign.shape) * sign)
