"""The scale (and minimum) with which rounded weights come nearest, by trying several.

Rounding to n levels with the scale that just spans the block is seldom best: a slightly smaller or larger
one moves many weights nearer and few away. So some twenty scales are tried; for the codes each gives, least
squares say the best scale (and minimum), and the smallest error wins. Errors are weighted, for large weights
matter more. The idea: `make_qx_quants` and `make_qkx2_quants` of ggml-quants.c (llama.cpp).
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
_CHUNK_WEIGHTS = 1 << 18  # weights searched at once: a megabyte, so that twenty passes stay in the cache


def in_chunks(
    pack: Callable[[Floats], npt.NDArray[Any]], blocks: Floats, block: np.dtype[Any]
) -> npt.NDArray[Any]:
    """`pack` over some blocks [n, 256] at a time; blocks [..., n, 256] -> packed [..., n]."""
    flat = blocks.reshape(-1, blocks.shape[-1])
    out = np.empty(len(flat), block)
    step = max(1, _CHUNK_WEIGHTS // blocks.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):  # of weights whose squares are beyond binary32
        for i in range(0, len(flat), step):
            out[i : i + step] = pack(flat[i : i + step])
    return out.reshape(blocks.shape[:-1])


def ratio(over: Number, under: Floats) -> Floats:
    """over / under, and 0 where under is (all but) nothing."""
    usable = np.abs(under) > _TINY
    quotient: Floats = np.where(usable, over / np.where(usable, under, np.float32(1)), np.float32(0))
    return quotient


def rounded(values: Floats, low: int, high: int) -> Floats:
    """The nearest whole numbers from low to high."""
    return np.clip(np.rint(values), np.float32(low), np.float32(high))


def fit_scale(x: Floats, coder: Coder, span: float, spread: float, n_tries: int) -> Floats:
    """Scales [...] for x [..., n], so that scale * coder(x / scale) is near x, largest weights first.

    The first scale brings the weight of largest size to `span` (its sign too, so that a scale may be
    negative); n_tries more on either side bring it up to `spread` further or nearer.
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
        gain = scale * dot  # what the error is less than the weighted sum of x * x
        better = gain > best_gain
        best_gain = np.where(better, gain, best_gain)
        best_scale = np.where(better, scale, best_scale)
    return best_scale


def fit_scale_and_minimum(x: Floats, top: int, spread: float, n_tries: int) -> tuple[Floats, Floats]:
    """Scales and minimums [...], none negative, so that scale * (0 .. top) - minimum is near x [..., n].

    The levels tried span the block's range with `top` give or take `spread` steps.
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
        # A minimum above the weights (a negative one of ours) cannot be stored: fit the scale alone.
        scale = np.where(minimum < 0, ratio(sum_xl, sum_l2), scale)
        minimum = np.maximum(minimum, np.float32(0))
        error = _error(x, weight, (scale, minimum), top)
        better = (error < best_error) & (scale > 0)
        best_error = np.where(better, error, best_error)
        best = np.where(better, scale, best[0]), np.where(better, minimum, best[1])
    return best


def _error(x: Floats, weight: Floats, fit: tuple[Floats, Floats], top: int) -> Floats:
    """Weighted squared error once every weight takes the nearest level."""
    scale, minimum = fit[0][..., None], fit[1][..., None]
    codes = rounded((x + minimum) * ratio(np.float32(1), scale), 0, top)
    miss = scale * codes - minimum - x
    total: Floats = (weight * miss * miss).sum(axis=-1)
    return total


def share(values: Floats, top: int) -> tuple[npt.NDArray[Any], Floats]:
    """One binary16 unit [n] and whole numbers [n, m] from 0 to top, so that unit * number is near values."""
    with np.errstate(over="ignore"):
        unit = (values.max(axis=-1) / np.float32(top)).astype("<f2")
    return unit, rounded(values * ratio(np.float32(1), unit.astype(np.float32))[..., None], 0, top)


def share_signed(values: Floats, bottom: int) -> tuple[npt.NDArray[Any], Floats]:
    """The same for values of both signs: numbers from bottom (below 0), for the largest, to -bottom - 1."""
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    with np.errstate(over="ignore"):
        unit = (largest / np.float32(bottom)).astype("<f2")
    numbers = rounded(values * ratio(np.float32(1), unit.astype(np.float32))[..., None], bottom, -bottom - 1)
    return unit, numbers


def nearest_codes(x: Floats, scale: Floats, minimum: Floats, top: int) -> Codes:
    """Codes 0 to top of x [n, m, w] for scales and minimums [n, m] as a reader will compute them."""
    shifted = (x + minimum[..., None]) * ratio(np.float32(1), scale)[..., None]
    return rounded(shifted, 0, top).astype(np.uint8)
