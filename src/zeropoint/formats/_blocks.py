"""Rows of bytes as blocks and back: what all packed formats share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.errors import BadInput


def split_bytes(packed: npt.NDArray[np.uint8], block: np.dtype[Any]) -> npt.NDArray[Any]:
    """Blocks [..., n_blocks] of the rows [..., n_bytes]; BadInput if a row is no whole number of blocks."""
    if packed.dtype != np.uint8 or packed.ndim == 0 or packed.shape[-1] % block.itemsize:
        raise BadInput(
            f"packed weights are {packed.dtype} of shape {packed.shape}; they must be uint8 with rows of a "
            f"multiple of {block.itemsize} bytes"
        )
    return np.ascontiguousarray(packed).view(block)


def split_weights(weights: npt.NDArray[np.float32], n: int, name: str) -> npt.NDArray[np.float32]:
    """Blocks [..., n_blocks, n] of the rows [..., n_weights], all finite, else BadInput."""
    if weights.ndim == 0 or weights.shape[-1] % n:
        raise BadInput(f"weights have the shape {weights.shape}; a row of {name} is a multiple of {n}")
    blocks = np.ascontiguousarray(weights, dtype=np.float32)
    if not np.isfinite(blocks).all():
        raise BadInput(f"weights have NaN or infinity in them, which {name} cannot hold")
    return blocks.reshape(*blocks.shape[:-1], -1, n)


def join_bytes(blocks: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Rows [..., n_bytes] of the blocks [..., n_blocks]."""
    return blocks.view(np.uint8)


def inverse(scale: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """1 / scale, and 0 where the scale is 0: a block of zeros packs to zeros."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(scale == 0, np.float32(0), np.float32(1) / scale)


def nibbles(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[..., 16] bytes -> [..., 32] values 0 to 15: the low halves first, then the high halves."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=-1)


def to_nibbles(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """[..., 32] numbers, cut to whole ones and to 0 to 15 -> [..., 16] bytes."""
    with np.errstate(invalid="ignore"):
        q: npt.NDArray[np.uint8] = np.trunc(values).astype(np.uint8).clip(0, 15)
    return q[..., :16] | (q[..., 16:] << np.uint8(4))


def fives(low: npt.NDArray[np.uint8], high: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Nibbles [..., 16] and fifth bits [..., 4], lowest first -> [..., 32] values 0 to 31."""
    return nibbles(low) | (np.unpackbits(high, axis=-1, bitorder="little") << np.uint8(4))


def to_fives(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The inverse of `fives` for [..., 32] numbers, cut to whole ones and to 0 to 31."""
    with np.errstate(invalid="ignore"):
        q: npt.NDArray[np.uint8] = np.trunc(values).astype(np.uint8).clip(0, 31)
    low = (q[..., :16] & np.uint8(15)) | (q[..., 16:] << np.uint8(4))
    return low, np.packbits(q >> np.uint8(4), axis=-1, bitorder="little")
