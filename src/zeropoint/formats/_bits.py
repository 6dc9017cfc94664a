"""Bit packing of the formats with super-blocks of 256 weights: codes of 1, 2 and 4 bits, and 6-bit scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


def unpack_fields(packed: Bytes, n_bits: int, run: int) -> Bytes:
    """Unpack bytes [..., m] to codes [..., 8 / n_bits * m] of n_bits each.

    Bytes come in runs of `run`. The lowest bits of a run's bytes hold the first `run` codes, the bits above
    the next.
    """
    shifts = np.arange(0, 8, n_bits, dtype=np.uint8)[:, None]
    runs = packed.reshape(*packed.shape[:-1], -1, 1, run)
    return ((runs >> shifts) & np.uint8((1 << n_bits) - 1)).reshape(*packed.shape[:-1], -1)


def pack_fields(codes: Bytes, n_bits: int, run: int) -> Bytes:
    """The inverse of `unpack_fields`; ignores the bits of a code above n_bits."""
    shifts = np.arange(0, 8, n_bits, dtype=np.uint8)[:, None]
    runs = codes.reshape(*codes.shape[:-1], -1, len(shifts), run) & np.uint8((1 << n_bits) - 1)
    joined: Bytes = np.bitwise_or.reduce(runs << shifts, axis=-2)
    return joined.reshape(*codes.shape[:-1], -1)


def unpack_six_bits(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Unpack bytes [..., 12] to the 6-bit scales [..., 8] and minimums [..., 8] of Q4_K and Q5_K.

    Bytes 0 to 3 hold scales 0 to 3 in their low six bits, bytes 4 to 7 minimums 0 to 3. Bytes 8 to 11 hold
    the low nibbles of scales and minimums 4 to 7, whose upper two bits are the top bits of bytes 0 to 7.
    """
    scales, minimums, low = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    return (
        np.concatenate([scales & 63, (low & 15) | (scales >> 6 << 4)], axis=-1),
        np.concatenate([minimums & 63, (low >> 4) | (minimums >> 6 << 4)], axis=-1),
    )


def pack_six_bits(scales: Bytes, minimums: Bytes) -> Bytes:
    """The inverse of `unpack_six_bits`."""
    low = (scales[..., 4:] & 15) | (minimums[..., 4:] << 4)
    heads = [first[..., :4] | (first[..., 4:] >> 4 << 6) for first in (scales, minimums)]
    return np.concatenate([*heads, low], axis=-1)


def half(values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Round to binary16; values beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return values.astype("<f2")
