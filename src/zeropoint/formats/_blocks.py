"""Conversion between rows of bytes and blocks, shared by all formats, and codes of 4 and 5 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.errors import BadInput


def split_bytes(packed: npt.NDArray[np.uint8], block: np.dtype[Any]) -> npt.NDArray[Any]:
    """View rows [..., n_bytes] as blocks [..., n_blocks]; BadInput unless rows are multiples of a block."""
    if packed.dtype != np.uint8 or packed.ndim == 0 or packed.shape[-1] % block.itemsize:
        raise BadInput(
            f"packed weights are {packed.dtype} of shape {packed.shape}; they must be uint8 with rows of a "
            f"multiple of {block.itemsize} bytes"
        )
    return np.ascontiguousarray(packed).view(block)


def split_weights(weights: npt.NDArray[np.float32], n: int, name: str) -> npt.NDArray[np.float32]:
    """Split rows [..., n_weights] into blocks [..., n_blocks, n].

    Raises BadInput if a row is not a multiple of n, or contains NaN or infinity.
    """
    if weights.ndim == 0 or weights.shape[-1] % n:
        raise BadInput(f"weights have the shape {weights.shape}; a row of {name} must be a multiple of {n}")
    blocks = np.ascontiguousarray(weights, dtype=np.float32)
    if not np.isfinite(blocks).all():
        raise BadInput(
            f"weights contain NaN or infinity, which {name} cannot represent; use F32, F16 or BF16"
        )
    return blocks.reshape(*blocks.shape[:-1], -1, n)


def join_bytes(blocks: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """View blocks [..., n_blocks] as rows [..., n_bytes]."""
    return blocks.view(np.uint8)


def inverse(scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 / scale, or 0 if the scale is 0: a block of zeros packs to zeros."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(scale == 0, np.float32(0), np.float32(1) / scale)


def unpack_nibbles(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Unpack bytes [..., 16] to codes [..., 32] from 0 to 15: all low nibbles, then all high nibbles."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=-1)


def pack_nibbles(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Truncate numbers [..., 32] to integers, clip them to 0 to 15 and pack them into bytes [..., 16]."""
    with np.errstate(invalid="ignore"):
        q: npt.NDArray[np.uint8] = np.trunc(values).astype(np.uint8).clip(0, 15)
    return q[..., :16] | (q[..., 16:] << np.uint8(4))


def unpack_five_bits(low: npt.NDArray[np.uint8], high: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Combine nibbles [..., 16] and fifth bits [..., 4], lowest first, to codes [..., 32] from 0 to 31."""
    return unpack_nibbles(low) | (np.unpackbits(high, axis=-1, bitorder="little") << np.uint8(4))


def pack_five_bits(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The inverse of `unpack_five_bits`: truncates numbers [..., 32] to integers, clipped to 0 to 31."""
    with np.errstate(invalid="ignore"):
        q: npt.NDArray[np.uint8] = np.trunc(values).astype(np.uint8).clip(0, 31)
    low = (q[..., :16] & np.uint8(15)) | (q[..., 16:] << np.uint8(4))
    return low, np.packbits(q >> np.uint8(4), axis=-1, bitorder="little")
