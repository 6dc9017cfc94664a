"""Codes of one to six bits in bytes and back, as formats with super-blocks of 256 weights lay them out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def fields(packed: Bytes, n_bits: int, run: int) -> Bytes:
    """[..., m] bytes -> [..., 8 / n_bits * m] codes: every `run` bytes hold that many codes in each field.

    The first run of codes is in the lowest bits of the first run of bytes, the next in the bits above.
    """
    shifts = np.arange(0, 8, n_bits, dtype=np.uint8)[:, None]
    runs = packed.reshape(*packed.shape[:-1], -1, 1, run)
    return ((runs >> shifts) & np.uint8((1 << n_bits) - 1)).reshape(*packed.shape[:-1], -1)


def to_fields(codes: Bytes, n_bits: int, run: int) -> Bytes:
    """The inverse of `fields`; codes above n_bits are cut."""
    shifts = np.arange(0, 8, n_bits, dtype=np.uint8)[:, None]
    runs = codes.reshape(*codes.shape[:-1], -1, len(shifts), run) & np.uint8((1 << n_bits) - 1)
    joined: Bytes = np.bitwise_or.reduce(runs << shifts, axis=-2)
    return joined.reshape(*codes.shape[:-1], -1)


def sixes(packed: Bytes) -> tuple[Bytes, Bytes]:
    """[..., 12] bytes -> two times [..., 8] numbers of six bits: the scales and minimums of Q4_K and Q5_K.

    Bytes 0 to 3 hold scales 0 to 3 in their low six bits, bytes 4 to 7 minimums 0 to 3; bytes 8 to 11 hold
    the low halves of scale and minimum 4 to 7, whose upper two bits are the top bits of bytes 0 to 7.
    """
    scales, minimums, low = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    return (
        np.concatenate([scales & 63, (low & 15) | (scales >> 6 << 4)], axis=-1),
        np.concatenate([minimums & 63, (low >> 4) | (minimums >> 6 << 4)], axis=-1),
    )


def to_sixes(scales: Bytes, minimums: Bytes) -> Bytes:
    """The inverse of `sixes`."""
    low = (scales[..., 4:] & 15) | (minimums[..., 4:] << 4)
    heads = [first[..., :4] | (first[..., 4:] >> 4 << 6) for first in (scales, minimums)]
    return np.concatenate([*heads, low], axis=-1)


def half(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Rounded to binary16; beyond its range infinite."""
    with np.errstate(over="ignore"):
        return values.astype("<f2")
