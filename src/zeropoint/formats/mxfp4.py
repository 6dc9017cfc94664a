"""MXFP4: blocks of 32 weights, a power of two as scale and 4-bit floats (17 bytes, 4.25 bits per weight).

w = 2^(e - 128) * LEVELS[q]. The float E2M1 has a sign, two bits of exponent and one of mantissa; the levels
are twice its values, so the scale is half of the E8M0 number e. Nibbles as in Q4_0. The format of gpt-oss.
Layout: `block_mxfp4` of ggml-common.h (llama.cpp); numbers: OCP Microscaling Formats (MX) 1.0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights, unpack_nibbles

BLOCK_WEIGHTS = 32
BLOCK_BYTES = 17
FILE_TYPE = 38
BLOCK = np.dtype([("e", "u1"), ("q", "u1", 16)])

LEVELS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 17g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    weights: _search.Floats = _scale(blocks["e"])[..., None] * LEVELS[unpack_nibbles(blocks["q"])]
    return weights.reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 17g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "MXFP4")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    largest = np.abs(x).max(axis=-1)
    with np.errstate(divide="ignore"):
        # The largest weight becomes 8 to 16 in units of the scale.
        blocks["e"] = np.maximum(np.floor(np.log2(largest)) + 125, 0)
    q = nearest_levels(x, _scale(blocks["e"])[..., None])
    blocks["q"] = q[..., :16] | (q[..., 16:] << np.uint8(4))
    return blocks


def nearest_levels(x: _search.Floats, scale: _search.Floats) -> _search.Codes:
    """The code q whose scale * LEVELS[q] is nearest to each weight; the lowest of several."""
    codes = np.zeros(x.shape, np.uint8)
    error = np.abs(x)
    for code in range(1, 16):
        new = np.abs(scale * LEVELS[code] - x)
        better = new < error
        codes[better] = code
        error = np.minimum(error, new)
    return codes


def _scale(e: _search.Codes) -> _search.Floats:
    return np.ldexp(np.float32(1), e.astype(np.int32) - 128)
