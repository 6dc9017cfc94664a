"""TQ1_0: blocks of 256 ternary weights, five to a byte, and a scale (54 bytes, 1.6875 bits per weight).

w = d * (q - 1). Five codes are the digits of a number below 243, and the byte is 256 / 243 of it, rounded up,
so that multiplying by 3 moves the highest digit into the carry. The first digits of 32 bytes are 32 weights,
the second digits the next, and so on; then come 16 bytes, and 4 bytes with four digits. A scale is binary16.
Layout: `block_tq1_0` of ggml-common.h (llama.cpp).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from zeropoint.formats._blocks import join_bytes, split_bytes, split_weights
from zeropoint.formats._ternary import Codes, scale_and_codes

BLOCK_WEIGHTS = 256
BLOCK_BYTES = 54
FILE_TYPE = 36
BLOCK = np.dtype([("q", "u1", 48), ("q4", "u1", 4), ("d", "<f2")])

_DIGITS = ((0, 32, 5), (32, 48, 5), (48, 52, 4))  # bytes [begin, end), with the number of digits in each


def unpack(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """[..., 54g] bytes -> [..., 256g] weights."""
    blocks = split_bytes(packed, BLOCK)
    q_bytes = np.concatenate([blocks["q"], blocks["q4"]], axis=-1)
    parts = [_unpack_digits(q_bytes[..., begin:end], n) for begin, end, n in _DIGITS]
    q = np.concatenate(parts, axis=-1).astype(np.float32)
    return (blocks["d"].astype(np.float32)[..., None] * (q - 1)).reshape(*packed.shape[:-1], -1)


def pack(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 256g] finite weights -> [..., 54g] bytes."""
    groups = split_weights(weights, BLOCK_WEIGHTS, "TQ1_0")
    blocks = np.empty(groups.shape[:-1], BLOCK)
    blocks["d"], codes = scale_and_codes(groups)
    first, second = codes[..., :160], codes[..., 160:240]
    blocks["q"] = np.concatenate([_pack_digits(first, 5), _pack_digits(second, 5)], axis=-1)
    blocks["q4"] = _pack_digits(codes[..., 240:], 4)
    return join_bytes(blocks)


def _unpack_digits(packed: Codes, n: int) -> Codes:
    """Bytes [..., m] to their n highest digits [..., n * m], the highest of all bytes first."""
    powers = np.array([3**i for i in range(n)], np.uint8)[:, None]
    moved = (packed[..., None, :] * powers).astype(np.uint16)
    digits: Codes = (moved * np.uint16(3) >> 8).astype(np.uint8)
    return digits.reshape(*packed.shape[:-1], -1)


def _pack_digits(codes: Codes, n: int) -> Codes:
    """The inverse of `_unpack_digits`."""
    powers = np.array([3 ** (4 - i) for i in range(n)], np.uint16)[:, None]
    numbers = (codes.reshape(*codes.shape[:-1], n, -1) * powers).sum(axis=-2, dtype=np.uint32)
    packed: Codes = ((numbers * 256 + 242) // 243).astype(np.uint8)
    return packed
