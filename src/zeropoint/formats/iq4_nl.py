"""IQ4_NL: blocks of 32 weights, a binary16 scale and 4-bit level indices (18 bytes, 4.5 bits per weight).

w = d * LEVELS[q]. The levels are denser near zero, where most weights are, so the error is smaller than
Q4_0's at the same size. Nibbles as in Q4_0. Layout and levels: `block_iq4_nl` and `kvalues_iq4nl` of
ggml-common.h (llama.cpp); scales: _search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats import _search
from zeropoint.formats._bits import half
from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights, unpack_nibbles

BLOCK_WEIGHTS = 32
BLOCK_BYTES = 18
FILE_TYPE = 25
BLOCK = np.dtype([("d", "<f2"), ("q", "u1", 16)])

LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
# The nearest level's code for n / 2 <= x < (n + 1) / 2, n from -256: midpoints are multiples of 1/2.
_NEAREST = np.searchsorted((LEVELS[1:] + LEVELS[:-1]) / 2, np.arange(-128, 128, 0.5), side="right").astype(
    np.uint8
)


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 18g] bytes -> [..., 32g] weights."""
    blocks = split_bytes(packed, BLOCK)
    levels = LEVELS[unpack_nibbles(blocks["q"])]
    return (blocks["d"].astype(np.float32)[..., None] * levels).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32g] finite weights -> [..., 18g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "IQ4_NL")
    return join_bytes(_search.in_chunks(_pack, groups, BLOCK))


def _pack(x: _search.Floats) -> npt.NDArray[np.void]:
    blocks = np.empty(len(x), BLOCK)
    blocks["d"] = half(fit_levels(x))
    d = blocks["d"].astype(np.float32)[..., None]
    q = nearest_levels(x * _search.ratio(np.float32(1), d))
    blocks["q"] = q[..., :16] | (q[..., 16:] << np.uint8(4))
    return blocks


def fit_levels(x: _search.Floats) -> _search.Floats:
    """Fit scales [...] to blocks [..., n]."""
    # Map the largest weight to the largest level, -127, or up to 10 further out or in.
    return _search.fit_scale(x, _levels, float(LEVELS[0]), 10.0, 10)


def nearest_levels(scaled: _search.Floats) -> _search.Codes:
    """The index of the level nearest to each number."""
    steps = np.clip(np.floor(scaled * 2), -256, 255).astype(np.int32) + 256
    codes: _search.Codes = _NEAREST[steps]
    return codes


def _levels(scaled: _search.Floats) -> _search.Floats:
    return LEVELS[nearest_levels(scaled)]
