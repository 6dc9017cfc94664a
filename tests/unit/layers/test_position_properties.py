"""Kazemnejad's properties hold for sinusoids, and each rejected alternative fails the one he names."""

from __future__ import annotations

import pytest
import torch

from zeropoint.layers.position.encoding_properties import (
    binary,
    closeness,
    examine,
    integer,
    ramp,
    shift_matrix,
    sinusoidal,
)


def test_sinusoids_pass_everything() -> None:
    assert examine(sinusoidal(32)).failed == ()


def test_a_ramp_means_something_else_in_every_text() -> None:
    found = examine(ramp)
    assert not found.is_consistent
    assert found.is_bounded


def test_integers_grow_with_the_text() -> None:
    found = examine(integer)
    assert not found.is_bounded
    assert found.is_consistent


def test_binary_digits_jump() -> None:
    found = examine(binary(9))
    assert found.is_unique
    assert found.is_bounded
    assert not found.is_smooth
    assert not found.has_linear_shift


def test_sines_alone_have_no_linear_shift() -> None:
    """Why both sine and cosine: without one of them a turn cannot be undone."""
    assert not examine(lambda n: sinusoidal(32)(n)[:, 0::2]).has_linear_shift


@pytest.mark.parametrize("shift", [0, 1, 7, 100])
def test_one_matrix_shifts_every_position(shift: int) -> None:
    table = sinusoidal(64)(200)
    moved = table[: 200 - shift] @ shift_matrix(64, shift).T
    torch.testing.assert_close(moved, table[shift:], atol=1e-6, rtol=0)


def test_shifts_add_up_and_keep_lengths() -> None:
    a, b = shift_matrix(16, 3), shift_matrix(16, 8)
    torch.testing.assert_close(a @ b, shift_matrix(16, 11))
    torch.testing.assert_close(a @ a.T, torch.eye(16, dtype=torch.float64))


def test_closeness_is_symmetric_depends_on_distance_and_decays() -> None:
    table = closeness(128, 64)
    torch.testing.assert_close(table, table.T)
    row = table[32]
    torch.testing.assert_close(row[32 - 20 : 32].flip(0), row[33:53], atol=1e-4, rtol=0)
    near = row[32:40]
    assert (near[1:] < near[:-1]).all()
    assert row[32] == row.max()
    assert row[48:].mean() < row[33:40].mean()
