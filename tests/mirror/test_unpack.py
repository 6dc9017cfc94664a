"""Weights packed and unpacked natively equal numpy's decoding of the file, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.packed import packed_matrix
from zeropoint import _native, formats

SHAPES = [(1, 1), (16, 1), (17, 2), (40, 5)]  # rows, blocks per row (32 columns for formats without blocks)


def block(name: str) -> int:
    """Columns per block; 32 for formats without blocks."""
    return max(32, formats.get(name).BLOCK_WEIGHTS)


def bits(weights: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Bit patterns, with a single one for all NaNs, whose payload depends on the processor."""
    return np.where(np.isnan(weights), np.float32(np.nan), weights).view(np.uint32)


@pytest.mark.parametrize("name", formats.names())
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_unpacked_weights_are_bit_equal(name: str, shape: tuple[int, int]) -> None:
    rows, cols = shape[0], shape[1] * block(name)
    form = formats.get(name)
    rng = np.random.default_rng(rows)
    # Arbitrary bytes, which include denormal, infinite and NaN scales.
    packed = rng.integers(0, 256, (rows, cols // form.BLOCK_WEIGHTS * form.BLOCK_BYTES), dtype=np.uint8)
    with np.errstate(all="ignore"):
        want = form.unpack(packed)
    np.testing.assert_array_equal(
        bits(_native.unpack(name, packed.reshape(-1), rows, cols)), bits(want.reshape(rows, cols))
    )


@pytest.mark.parametrize("name", formats.names())
def test_rows_of_a_wide_matrix_are_in_order(name: str) -> None:
    form = formats.get(name)
    packed = packed_matrix(name, 40, 3 * block(name), seed=1)
    want = form.unpack(packed)
    assert len(np.unique(want, axis=0)) == 40
    np.testing.assert_array_equal(_native.unpack(name, packed.reshape(-1), 40, 3 * block(name)), want)


def test_native_and_numpy_know_the_same_formats() -> None:
    native = {name: (weights, size) for name, _, weights, size in _native.formats()}
    assert native == {n: (formats.get(n).BLOCK_WEIGHTS, formats.get(n).BLOCK_BYTES) for n in formats.names()}
