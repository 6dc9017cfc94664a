"""Q3_K: super-blocks of 256 weights in sixteen blocks of 16, 3 bits each (110 bytes, 3.44 bits per weight).

w = d * (scale - 32) * (q - 4), with 6-bit scales and one binary16 super-scale. The low two bits of the codes
are stored as in Q2_K; bit k of byte l of `high` is the third bit of weight 32 * k + l. The low four bits of
scale i are a nibble of byte i % 8 of `scales` (low nibbles first), its upper two are in byte 8 + i % 4 at bit
2 * (i // 4). Layout: `block_q3_K` of ggml-common.h (llama.cpp); scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import pack_fields, unpack_fields
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 110
FILE_TYPE = 12
BLOCK = np.dtype([("high", "u1", 32), ("q", "u1", 64), ("scales", "u1", 12), ("d", "<f2")])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 110g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    low, high = blocks["scales"][..., :8], blocks["scales"][..., 8:]
    scales = (unpack_fields(low, 4, 8) | (unpack_fields(high, 2, 4) << np.uint8(4))).astype(
        np.float32
    ) - np.float32(32)
    scale = blocks["d"].astype(np.float32)[..., None] * scales
    q = unpack_fields(blocks["q"], 2, 32) | (unpack_fields(blocks["high"], 1, 32) << np.uint8(2))
    codes = q.reshape(*scale.shape, 16).astype(np.float32) - np.float32(4)
    weights: npt.NDArray[np.float32] = scale[..., None] * codes
    return weights.reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 110g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q3_K")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 16, 16)
    scale = _search.fit_scale(x, lambda scaled: _search.rounded(scaled, -4, 3), -4.0, 0.9, 9)
    blocks["d"], scales = _search.quantize_signed_scales(scale, -32)
    six_bits = (scales + np.float32(32)).astype(np.uint8)
    blocks["scales"][..., :8] = pack_fields(six_bits, 4, 8)
    blocks["scales"][..., 8:] = pack_fields(six_bits >> np.uint8(4), 2, 4)
    inverse = _search.ratio(np.float32(1), blocks["d"].astype(np.float32)[..., None] * scales)
    q = (_search.rounded(x * inverse[..., None], -4, 3) + np.float32(4)).astype(np.uint8).reshape(-1, 256)
    blocks["q"] = pack_fields(q, 2, 32)
    blocks["high"] = pack_fields(q >> np.uint8(2), 1, 32)
    return blocks
