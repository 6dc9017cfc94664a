"""Q2_K: super-blocks of 256 weights in sixteen blocks of 16, 2 bits each (84 bytes, 2.625 bits per weight).

w = d * scale * q - dmin * minimum, with a 4-bit scale and minimum per block (low and high nibble of a byte)
and two binary16 super-scales. Layout: `block_q2_K` of ggml-common.h (llama.cpp); scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import pack_fields, unpack_fields
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 84
FILE_TYPE = 10
BLOCK = np.dtype([("scales", "u1", 16), ("q", "u1", 64), ("d", "<f2"), ("dmin", "<f2")])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 84g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    d, dmin = (blocks[field].astype(np.float32)[..., None] for field in ("d", "dmin"))
    scale = d * (blocks["scales"] & 15).astype(np.float32)
    minimum = dmin * (blocks["scales"] >> 4).astype(np.float32)
    q = unpack_fields(blocks["q"], 2, 32).reshape(*scale.shape, 16).astype(np.float32)
    return (scale[..., None] * q - minimum[..., None]).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 84g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q2_K")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 16, 16)
    scale, minimum = _search.fit_scale_and_minimum(x, 3, 1.5, 20)
    blocks["d"], scales = _search.quantize_scales(scale, 15)
    blocks["dmin"], minimums = _search.quantize_scales(minimum, 15)
    blocks["scales"] = scales.astype(np.uint8) | (minimums.astype(np.uint8) << np.uint8(4))
    d, dmin = (blocks[field].astype(np.float32)[..., None] for field in ("d", "dmin"))
    codes = _search.nearest_codes(x, d * scales, dmin * minimums, 3)
    blocks["q"] = pack_fields(codes.reshape(-1, 256), 2, 32)
    return blocks
