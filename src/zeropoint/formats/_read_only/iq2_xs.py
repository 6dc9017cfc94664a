"""IQ2_XS: blocks of 256 weights, eight to an index of 9 bits, with signs (74 bytes, 2.3125 bits per weight).

w = d * (scale + 1/2) / 4 * point, with a sign each and a 4-bit scale for 16 weights. An index and seven signs
are a 16-bit number; the eighth sign makes the number of negative weights even. Layout: `block_iq2_xs` of
ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import EIGHT_COLUMNS, combine, points, seven_signs, two_scales

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 74
FILE_TYPE = 20
INSTEAD = "Q2_K"
BLOCK = np.dtype([("d", "<f2"), ("q", "<u2", 32), ("scales", "u1", 8)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 74g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    magnitudes = points("IQ2_XS", EIGHT_COLUMNS)[blocks["q"] & 511]
    return combine(two_scales(blocks["d"], blocks["scales"]), magnitudes * seven_signs(blocks["q"] >> 9))
