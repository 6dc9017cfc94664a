"""Q5_K: super-blocks of 256 weights in eight blocks of 32, 5 bits each (176 bytes, 5.5 bits per weight).

w = d * scale * q - dmin * minimum as in Q4_K; bit k of byte l of `high` is the fifth bit of weight
32 * k + l. Layout: `block_q5_K` of ggml-common.h (llama.cpp); scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import pack_fields, pack_six_bits, unpack_fields, unpack_six_bits
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 176
FILE_TYPE = 17
BLOCK = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("high", "u1", 32), ("q", "u1", 128)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 176g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    d, dmin = (blocks[field].astype(np.float32)[..., None] for field in ("d", "dmin"))
    scales, minimums = unpack_six_bits(blocks["scales"])
    scale, minimum = d * scales.astype(np.float32), dmin * minimums.astype(np.float32)
    codes = unpack_fields(blocks["q"], 4, 32) | (unpack_fields(blocks["high"], 1, 32) << np.uint8(4))
    q = codes.reshape(*scale.shape, 32).astype(np.float32)
    return (scale[..., None] * q - minimum[..., None]).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 176g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q5_K")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 8, 32)
    scale, minimum = _search.fit_scale_and_minimum(x, 31, 1.0, 15)
    blocks["d"], scales = _search.quantize_scales(scale, 63)
    blocks["dmin"], minimums = _search.quantize_scales(minimum, 63)
    blocks["scales"] = pack_six_bits(scales.astype(np.uint8), minimums.astype(np.uint8))
    d, dmin = (blocks[field].astype(np.float32)[..., None] for field in ("d", "dmin"))
    codes = _search.nearest_codes(x, d * scales, dmin * minimums, 31).reshape(-1, 256)
    blocks["q"] = pack_fields(codes, 4, 32)
    blocks["high"] = pack_fields(codes >> np.uint8(4), 1, 32)
    return blocks
