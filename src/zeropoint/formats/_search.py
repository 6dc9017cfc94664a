"""Search for the scale (and minimum) that minimizes the quantization error of a block.

The scale that just spans the block is rarely the best: a slightly smaller or larger one moves many weights
closer to a level and few away. So try about twenty scales, refit scale (and minimum) to the resulting codes
by least squares, and take the one with the smallest error. Errors are weighted, because large weights matter
more. This follows `make_qx_quants` and `make_qkx2_quants` of ggml-quants.c (llama.cpp).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Number = Floats | np.float32
Codes = npt.NDArray[np.uint8]
Coder = Callable[[Floats], Floats]

_TINY = np.float32(1e-30)
_CHUNK_WEIGHTS = 1 << 18  # weights per search, 1 MB, so that twenty passes stay in the cache


def in_chunks(
    pack: Callable[[Floats], npt.NDArray[Any]], blocks: Floats, block: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Apply `pack` to chunks of the blocks [..., n, 256] -> packed [..., n]; bounds memory use."""
    flat = blocks.reshape(-1, blocks.shape[-1])
    out = np.empty(len(flat), block)
    step = max(1, _CHUNK_WEIGHTS // blocks.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):  # squares of large weights overflow
        for i in range(0, len(flat), step):
            out[i : i + step] = pack(flat[i : i + step])
    return out.reshape(blocks.shape[:-1])


def ratio(over: Number, under: Floats) -> Floats:
    """over / under, or 0 if |under| is below 1e-30."""
    usable = np.abs(under) > _TINY
    quotient: Floats = np.where(usable, over / np.where(usable, under, np.float32(1)), np.float32(0))
    return quotient


def rounded(values: Floats, low: int, high: int) -> Floats:
    """Round to the nearest integers, clipped to [low, high]."""
    return np.clip(np.rint(values), np.float32(low), np.float32(high))


def fit_scale(x: Floats, coder: Coder, span: float, spread: float, n_tries: int) -> Floats:
    """Fit scales [...] to x [..., n], so that scale * coder(x / scale) approximates x, weighted by x squared.

    The central scale maps the weight of largest magnitude to `span` (with its sign, so a scale may be
    negative); n_tries more on either side map it up to `spread` further out or in.
    """
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=-1)[..., None], axis=-1)
    weight = x * x
    best_scale = np.zeros(x.shape[:-1], np.float32)
    best_gain = np.full(x.shape[:-1], -1, np.float32)
    for step in range(-n_tries, n_tries + 1):
        codes = coder(x * ratio(np.float32(span + spread * step / max(n_tries, 1)), largest))
        weighted = weight * codes
        dot, squares = (weighted * x).sum(axis=-1), (weighted * codes).sum(axis=-1)
        scale = ratio(dot, squares)
        gain = scale * dot  # the reduction of the error, starting at the weighted sum of x * x
        better = gain > best_gain
        best_gain = np.where(better, gain, best_gain)
        best_scale = np.where(better, scale, best_scale)
    return best_scale


def fit_scale_and_minimum(x: Floats, top: int, spread: float, n_tries: int) -> tuple[Floats, Floats]:
    """Fit non-negative scales and minimums [...], so that scale * (0 .. top) - minimum approximates x.

    Tries n_tries + 1 scales that divide the block's range into top - spread to top + spread steps.
    """
    weight = np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + np.abs(x)
    low = np.minimum(x.min(axis=-1), np.float32(0))
    size = x.max(axis=-1) - low
    sum_w, sum_x = weight.sum(axis=-1), (weight * x).sum(axis=-1)
    best = size / np.float32(top), -low
    best_error = _error(x, weight, best, top)
    for step in range(n_tries + 1):
        levels = np.float32(top - spread + 2 * spread * step / n_tries)
        codes = rounded((x - low[..., None]) * ratio(levels, size)[..., None], 0, top)
        weighted = weight * codes
        sum_l, sum_l2, sum_xl = (
            weighted.sum(axis=-1),
            (weighted * codes).sum(axis=-1),
            (weighted * x).sum(axis=-1),
        )
        determinant = sum_w * sum_l2 - sum_l * sum_l
        scale = ratio(sum_w * sum_xl - sum_x * sum_l, determinant)
        minimum = ratio(sum_l * sum_xl - sum_l2 * sum_x, determinant)
        # The format stores only non-negative minimums: fit the scale alone instead.
        scale = np.where(minimum < 0, ratio(sum_xl, sum_l2), scale)
        minimum = np.maximum(minimum, np.float32(0))
        error = _error(x, weight, (scale, minimum), top)
        better = (error < best_error) & (scale > 0)
        best_error = np.where(better, error, best_error)
        best = np.where(better, scale, best[0]), np.where(better, minimum, best[1])
    return best


def _error(x: Floats, weight: Floats, fit: tuple[Floats, Floats], top: int) -> Floats:
    """The weighted squared error if every weight takes the nearest level."""
    scale, minimum = fit[0][..., None], fit[1][..., None]
    codes = rounded((x + minimum) * ratio(np.float32(1), scale), 0, top)
    deviation = scale * codes - minimum - x
    total: Floats = (weight * deviation * deviation).sum(axis=-1)
    return total


def quantize_scales(values: Floats, top: int) -> tuple[npt.NDArray[Any], Floats]:
    """Quantize scales [n, m] to integers 0 to top; returns binary16 super-scales [n] and the integers."""
    with np.errstate(over="ignore"):
        super_scale = (values.max(axis=-1) / np.float32(top)).astype("<f2")
    inverse = ratio(np.float32(1), super_scale.astype(np.float32))
    return super_scale, rounded(values * inverse[..., None], 0, top)


def quantize_signed_scales(values: Floats, bottom: int) -> tuple[npt.NDArray[Any], Floats]:
    """The same for scales of both signs: the largest magnitude becomes `bottom` (negative), the range ends at
    -bottom - 1."""
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    with np.errstate(over="ignore"):
        super_scale = (largest / np.float32(bottom)).astype("<f2")
    inverse = ratio(np.float32(1), super_scale.astype(np.float32))
    return super_scale, rounded(values * inverse[..., None], bottom, -bottom - 1)


def nearest_codes(x: Floats, scale: Floats, minimum: Floats, top: int) -> Codes:
    """Codes 0 to top of x [n, m, w] for the dequantized scales and minimums [n, m]."""
    shifted = (x + minimum[..., None]) * ratio(np.float32(1), scale)[..., None]
    return rounded(shifted, 0, top).astype(np.uint8)
