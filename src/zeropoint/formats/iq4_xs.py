"""IQ4_XS: super-blocks of 256 weights in blocks of 32, 4-bit level indices (136 bytes, 4.25 bits per weight).

w = d * (scale - 32) * LEVELS[q], with the levels of IQ4_NL, a 6-bit scale per block and a binary16
super-scale. Nibbles as in Q4_0; the scales' low nibbles come in order, their upper two bits in a 16-bit
number. Layout: `block_iq4_xs` of ggml-common.h (llama.cpp); scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import pack_fields, unpack_fields
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights, unpack_nibbles
from zeropoint.formats.iq4_nl import LEVELS, fit_levels, nearest_levels

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 136
FILE_TYPE = 30
BLOCK = np.dtype([("d", "<f2"), ("high", "u1", 2), ("low", "u1", 4), ("q", "u1", (8, 16))])


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 136g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    scales = unpack_fields(blocks["low"], 4, 1) | (unpack_fields(blocks["high"], 2, 1) << np.uint8(4))
    scale = blocks["d"].astype(np.float32)[..., None] * (scales.astype(np.float32) - np.float32(32))
    weights: _search.Floats = scale[..., None] * LEVELS[unpack_nibbles(blocks["q"])]
    return weights.reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 136g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "IQ4_XS")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 8, 32)
    blocks["d"], scales = _search.quantize_signed_scales(fit_levels(x), -32)
    codes = (scales + 32).astype(np.uint8)
    blocks["low"], blocks["high"] = pack_fields(codes, 4, 1), pack_fields(codes >> np.uint8(4), 2, 1)
    scale = (blocks["d"].astype(np.float32)[..., None] * scales)[..., None]
    q = nearest_levels(x * _search.ratio(np.float32(1), scale))
    blocks["q"] = q[..., :16] | (q[..., 16:] << np.uint8(4))
    return blocks
