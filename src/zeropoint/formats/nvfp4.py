"""NVFP4: blocks of 64 weights in groups of 16, 4-bit floats and 8-bit scales (36 bytes, 4.5 bits per weight).

w = scale * LEVELS[q], with the levels of MXFP4 and a scale that is half of an unsigned E4M3 number (4 bits of
exponent, 3 of mantissa) per group. The low nibbles of a group's 8 bytes are its first 8 weights, the high
nibbles the others. Layout and scales: `block_nvfp4` of ggml-common.h and `ggml_ue4m3_to_fp32` of ggml-impl.h
(llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.errors import BadInput
from zeropoint.formats import _search
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights
from zeropoint.formats.mxfp4 import LEVELS, nearest_levels

BLOCK_WEIGHTS = 64
BLOCK_BYTES = 36
FILE_TYPE = 39
MAX_LOST = 6 * 2.0**-10  # weights below it become zero if no larger one shares their scale
BLOCK = np.dtype([("scales", "u1", 4), ("q", "u1", (4, 8))])

# Half of the number with these bits, the lowest seven; 127 stands for zero.
_SCALES = ((np.arange(128, dtype=np.uint16) << 7).view(np.float16).astype(np.float32) * 128)[
    np.arange(256) & 127
]
_SCALES[127] = 0
_SMALLEST_NORMAL, _FROM_256, _LARGEST = 8, 120, 126  # codes of 1/64, 256 and 448
_MAX = 6 * 448.0


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 36g] bytes -> [..., 64g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q = np.concatenate([blocks["q"] & np.uint8(15), blocks["q"] >> np.uint8(4)], axis=-1)
    weights: _search.Floats = _SCALES[blocks["scales"]][..., None] * LEVELS[q]
    return weights.reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 64g] finite weights -> [..., 36g] bytes. Raises BadInput for magnitudes above 2688."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "NVFP4")
    if np.abs(groups).max(initial=0) > _MAX:
        raise BadInput(f"weights exceed {_MAX:.0f}, the largest NVFP4 value; use MXFP4 or BF16")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    x = x.reshape(-1, 4, 16)
    blocks["scales"] = _nearest_scales(np.abs(x).max(axis=-1) / np.float32(6))
    q = nearest_levels(x, _SCALES[blocks["scales"]][..., None])
    blocks["q"] = q[..., :8] | (q[..., 8:] << np.uint8(4))
    return blocks


def _nearest_scales(values: _search.Floats) -> _search.Codes:
    """The codes of the E4M3 numbers nearest to non-negative values; the larger of two.

    As in llama.cpp, the largest denormal number also represents the values up to the smallest normal one, and
    448 all from 256.
    """
    numbers = 2 * _SCALES[: _LARGEST + 1]
    edges = (numbers[1:] + numbers[:-1]) / 2
    edges[_SMALLEST_NORMAL - 1] = numbers[_SMALLEST_NORMAL]
    codes = np.searchsorted(edges, values, side="right")
    return np.where(codes < _FROM_256, codes, _LARGEST).astype(np.uint8)
