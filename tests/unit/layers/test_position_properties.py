"""Sinusoids have all of Kazemnejad's properties; each alternative lacks the one he names."""

from __future__ import annotations

import pytest
import torch

from zeropoint.layers.position.encoding_properties import (
    binary,
    examine,
    integer,
    ramp,
    shift_matrix,
    similarity,
    sinusoidal,
)


def test_sinusoids_have_every_property() -> None:
    assert examine(sinusoidal(32)).missing == ()


def test_ramp_depends_on_the_length_of_the_text() -> None:
    properties = examine(ramp)
    assert not properties.is_consistent
    assert properties.is_bounded


def test_integers_are_unbounded() -> None:
    properties = examine(integer)
    assert not properties.is_bounded
    assert properties.is_consistent


def test_binary_digits_are_not_smooth() -> None:
    properties = examine(binary(9))
    assert properties.is_unique
    assert properties.is_bounded
    assert not properties.is_smooth
    assert not properties.has_linear_shift


def test_sines_without_cosines_have_no_linear_shift() -> None:
    """A rotation needs both sine and cosine."""
    assert not examine(lambda n: sinusoidal(32)(n)[:, 0::2]).has_linear_shift


@pytest.mark.parametrize("shift", [0, 1, 7, 100])
def test_one_matrix_shifts_every_position(shift: int) -> None:
    table = sinusoidal(64)(200)
    shifted = table[: 200 - shift] @ shift_matrix(64, shift).T
    torch.testing.assert_close(shifted, table[shift:], atol=1e-6, rtol=0)


def test_shift_matrices_compose_and_are_orthogonal() -> None:
    a, b = shift_matrix(16, 3), shift_matrix(16, 8)
    torch.testing.assert_close(a @ b, shift_matrix(16, 11))
    torch.testing.assert_close(a @ a.T, torch.eye(16, dtype=torch.float64))


def test_similarity_is_symmetric_and_decays_with_distance() -> None:
    table = similarity(128, 64)
    torch.testing.assert_close(table, table.T)
    row = table[32]
    torch.testing.assert_close(row[32 - 20 : 32].flip(0), row[33:53], atol=1e-4, rtol=0)
    near = row[32:40]
    assert (near[1:] < near[:-1]).all()
    assert row[32] == row.max()
    assert row[48:].mean() < row[33:40].mean()
