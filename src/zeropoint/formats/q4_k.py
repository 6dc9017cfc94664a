"""Q4_K: super-blocks of 256 weights in eight blocks of 32, 4 bits each (144 bytes, 4.5 bits per weight).

w = d * scale * q - dmin * minimum, with a 6-bit scale and minimum per block and two binary16 super-scales.
The low nibbles of 32 bytes are one block, the high nibbles the next. Layout: `block_q4_K` of ggml-common.h
(llama.cpp); scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import pack_fields, pack_six_bits, unpack_fields, unpack_six_bits
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 144
FILE_TYPE = 15
BLOCK = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("q", "u1", 128)])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 144g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    d, dmin = (blocks[field].astype(np.float32)[..., None] for field in ("d", "dmin"))
    scales, minimums = unpack_six_bits(blocks["scales"])
    scale, minimum = d * scales.astype(np.float32), dmin * minimums.astype(np.float32)
    q = unpack_fields(blocks["q"], 4, 32).reshape(*scale.shape, 32).astype(np.float32)
    return (scale[..., None] * q - minimum[..., None]).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 144g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q4_K")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 8, 32)
    scale, minimum = _search.fit_scale_and_minimum(x, 15, 1.0, 20)
    blocks["d"], scales = _search.quantize_scales(scale, 63)
    blocks["dmin"], minimums = _search.quantize_scales(minimum, 63)
    blocks["scales"] = pack_six_bits(scales.astype(np.uint8), minimums.astype(np.uint8))
    d, dmin = (blocks[field].astype(np.float32)[..., None] for field in ("d", "dmin"))
    codes = _search.nearest_codes(x, d * scales, dmin * minimums, 15)
    blocks["q"] = pack_fields(codes.reshape(-1, 256), 4, 32)
    return blocks
