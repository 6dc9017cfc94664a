"""Q6_K: super-blocks of 256 weights in sixteen blocks of 16, 6 bits each (210 bytes, 6.5625 bits per weight).

w = d * scale * (q - 32), with int8 scales and one binary16 super-scale. For each half of 128 weights, 64
bytes hold the low four bits of weights 0 to 63 (low nibbles) and 64 to 127 (high nibbles), and byte l of 32
the upper two bits of weights l, 32 + l, 64 + l and 96 + l. Layout: `block_q6_K` of ggml-common.h (llama.cpp);
scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import pack_fields, unpack_fields
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 210
FILE_TYPE = 18
BLOCK = np.dtype([("q", "u1", 128), ("high", "u1", 64), ("scales", "i1", 16), ("d", "<f2")])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 210g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    scale = blocks["d"].astype(np.float32)[..., None] * blocks["scales"].astype(np.float32)
    q = unpack_fields(blocks["q"], 4, 64) | (unpack_fields(blocks["high"], 2, 32) << np.uint8(4))
    codes = q.reshape(*scale.shape, 16).astype(np.float32) - np.float32(32)
    return (scale[..., None] * codes).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 210g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q6_K")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 16, 16)
    scale = _search.fit_scale(x, lambda scaled: _search.rounded(scaled, -32, 31), -32.0, 0.9, 9)
    blocks["d"], scales = _search.quantize_signed_scales(scale, -128)
    blocks["scales"] = scales.astype(np.int8)
    inverse = _search.ratio(np.float32(1), blocks["d"].astype(np.float32)[..., None] * scales)
    q = (_search.rounded(x * inverse[..., None], -32, 31) + np.float32(32)).astype(np.uint8).reshape(-1, 256)
    blocks["q"] = pack_fields(q, 4, 64)
    blocks["high"] = pack_fields(q >> np.uint8(4), 2, 32)
    return blocks
