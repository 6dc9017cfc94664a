"""IQ2_S: blocks of 256 weights, eight to an index of 10 bits, with signs (82 bytes, 2.5625 bits per weight).

w = d * (scale + 1/2) / 4 * point, with a sign each and a 4-bit scale for 16 weights. The lower eight bits of
an index are a byte, the upper two of four indices another. Layout: `block_iq2_s` of ggml-common.h
(llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._bits import unpack_fields
from zeropoint.formats._blocks import split_bytes
from zeropoint.formats._read_only._points import EIGHT_COLUMNS, combine, points, signs, two_scales

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 82
FILE_TYPE = 28
INSTEAD = "Q2_K"
BLOCK = np.dtype(
    [("d", "<f2"), ("low", "u1", 32), ("signs", "u1", 32), ("high", "u1", 8), ("scales", "u1", 8)]
)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 82g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    index = blocks["low"] | unpack_fields(blocks["high"], 2, 1).astype(np.uint16) << 8
    magnitudes = points("IQ2_S", EIGHT_COLUMNS)[index]
    return combine(two_scales(blocks["d"], blocks["scales"]), magnitudes * signs(blocks["signs"]))
