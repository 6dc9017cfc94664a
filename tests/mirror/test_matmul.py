"""Native matrix products equal numpy's: every format on every instruction set of this machine.

Exact mode multiplies the unpacked weights in float32; int8 mode first quantizes activations in blocks of 32,
which numpy does here in the same way. New formats and instruction sets are tested without an edit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.packed import packed_matrix
from zeropoint import _native, formats
from zeropoint.errors import BadInput

ISAS: list[str] = _native.machine()["isas"]
FORMATS = formats.names()
QUANTIZED = [name for name in FORMATS if formats.get(name).BLOCK_WEIGHTS > 1]
# Rows, blocks per row (32 columns for formats without blocks), tokens: complete groups and tails of each.
SHAPES = [(16, 1, 1), (1, 1, 3), (17, 3, 9), (50, 2, 8), (96, 18, 13)]
BLOCK = 32

Floats = NDArray[np.float32]


def matrix(name: str, rows: int, cols: int) -> NDArray[np.uint8]:
    return packed_matrix(name, rows, cols, seed=rows * cols)


def sizes(name: str, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    rows, n_blocks, tokens = shape
    return rows, n_blocks * max(BLOCK, formats.get(name).BLOCK_WEIGHTS), tokens


def activations(tokens: int, cols: int) -> Floats:
    """Normally distributed numbers, with a row of zeros and one with outliers, as in models."""
    rng = np.random.default_rng(tokens + cols)
    x = rng.standard_normal((tokens, cols)).astype(np.float32)
    x[-1, ::17] *= 100
    if tokens > 2:
        x[1] = 0
    return x


def native(isa: str, name: str, packed: NDArray[np.uint8], x: Floats, *, exact: bool) -> Floats:
    result: Floats = _native.matmul(isa, name, packed.reshape(-1), len(packed), x.shape[1], x, exact)
    return result


def rounded_to_int8(x: Floats) -> NDArray[np.float64]:
    """x as quantized by the int8 kernels: scale * q, with q = round(x * 127 / peak), ties to even."""
    blocks = x.reshape(len(x), -1, BLOCK)
    peak = np.abs(blocks).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        inverse = np.where(peak > 0, np.float32(127) / peak, np.float32(0)).astype(np.float32)
    q = np.rint(blocks * inverse)
    return (q * (peak / np.float32(127)).astype(np.float64)).reshape(x.shape)


def bound(x: NDArray[Any], weights: Floats) -> NDArray[np.float64]:
    """The sum of the magnitudes of each product's terms, to which its error is relative."""
    result: NDArray[np.float64] = np.abs(x).astype(np.float64) @ np.abs(weights).astype(np.float64).T
    return result


@pytest.mark.heavy
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_exact_products(name: str, isa: str, shape: tuple[int, int, int]) -> None:
    rows, cols, tokens = sizes(name, shape)
    packed, x = matrix(name, rows, cols), activations(tokens, cols)
    weights = formats.get(name).unpack(packed)
    want = x.astype(np.float64) @ weights.astype(np.float64).T
    error = np.abs(native(isa, name, packed, x, exact=True) - want)
    assert (error <= 1e-5 * bound(x, weights) + 1e-30).all()


@pytest.mark.heavy
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_int8_products(name: str, isa: str, shape: tuple[int, int, int]) -> None:
    rows, cols, tokens = sizes(name, shape)
    packed, x = matrix(name, rows, cols), activations(tokens, cols)
    weights = formats.get(name).unpack(packed)
    x_int8 = rounded_to_int8(x)
    error = np.abs(native(isa, name, packed, x, exact=False) - x_int8 @ weights.astype(np.float64).T)
    assert (error <= 1e-5 * bound(x_int8, weights) + 1e-30).all()


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(QUANTIZED)))
def test_float_formats_are_exact_in_both_modes(name: str) -> None:
    packed, x = matrix(name, 20, 40), activations(3, 40)
    for isa in ISAS:
        np.testing.assert_array_equal(
            native(isa, name, packed, x, exact=False), native(isa, name, packed, x, exact=True)
        )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("exact", [True, False])
def test_every_instruction_set_gives_the_same_bits(name: str, exact: bool) -> None:
    for shape in SHAPES:
        rows, cols, tokens = sizes(name, shape)
        packed, x = matrix(name, rows, cols), activations(tokens, cols)
        want = native("scalar", name, packed, x, exact=exact)
        for isa in ISAS:
            got = native(isa, name, packed, x, exact=exact)
            assert got.tobytes() == want.tobytes(), (isa, rows, cols, tokens)


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("exact", [True, False])
def test_any_bytes_are_multiplied(name: str, exact: bool) -> None:
    """Scales that are NaN, infinite or denormal, and every code: the same on every processor, no crash."""
    form = formats.get(name)
    rng = np.random.default_rng(5)
    packed = rng.integers(0, 256, (40, 5 * form.BLOCK_BYTES), dtype=np.uint8)
    x = activations(3, 5 * form.BLOCK_WEIGHTS)
    want = native("scalar", name, packed, x, exact=exact)
    for isa in ISAS:
        np.testing.assert_array_equal(native(isa, name, packed, x, exact=exact), want)


def test_a_matrix_of_the_wrong_size_is_rejected() -> None:
    packed = matrix("Q4_0", 4, 64).reshape(-1)
    x = activations(1, 64)
    with pytest.raises(BadInput, match="does not have the bytes of a matrix of this shape"):
        _native.matmul("scalar", "Q4_0", packed, 5, 64, x, True)
    with pytest.raises(BadInput, match="does not have the bytes of a matrix of this shape"):
        _native.matmul("scalar", "Q4_0", packed, 4, 48, x, True)
    with pytest.raises(BadInput, match="as many columns"):
        _native.matmul("scalar", "Q4_0", packed, 4, 64, activations(1, 32), True)
    with pytest.raises(BadInput, match="unknown weight format"):
        _native.matmul("scalar", "Q9_9", packed, 4, 64, x, True)
    with pytest.raises(BadInput, match="cannot run mmx"):
        _native.matmul("mmx", "Q4_0", packed, 4, 64, x, True)
