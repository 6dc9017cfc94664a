"""An order that is computed, not kept: a permutation, the same for everybody, and unlike the next epoch's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropoint.data.permutation import Permutation, shuffled_indices


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_every_number_comes_once(n: int, seed: int) -> None:
    assert sorted(Permutation.of(n, seed).at(np.arange(n))) == list(range(n))


def test_a_place_needs_no_other() -> None:
    n = 10**12  # no list of these would fit
    whole = Permutation.of(n, 7).at(np.arange(1000))
    assert (Permutation.of(n, 7).at(np.array([999, 3])) == whole[[999, 3]]).all()
    assert len(set(whole.tolist())) == 1000
    assert 0 <= whole.min() <= whole.max() < n


def test_the_order_is_shuffled() -> None:
    found = Permutation.of(10_000, 1).at(np.arange(10_000))
    assert abs(np.corrcoef(found, np.arange(10_000))[0, 1]) < 0.05
    steps = np.abs(np.diff(found))
    assert np.mean(steps) == pytest.approx(10_000 / 3, rel=0.05)  # of two independent numbers below n


def test_epochs_differ_and_any_part_can_be_asked_for() -> None:
    whole = shuffled_indices(10, 3, 0, 30)
    assert [sorted(whole[at : at + 10]) for at in (0, 10, 20)] == [list(range(10))] * 3
    assert (whole[:10] != whole[10:20]).any()
    assert (shuffled_indices(10, 3, 7, 9) == whole[7:16]).all()
    assert (shuffled_indices(10, 4, 0, 30) != whole).any()


def test_the_numbers_stay_what_they_were() -> None:
    """A run that is resumed by a later version must find the same order."""
    assert shuffled_indices(10, 1337, 0, 10).tolist() == [2, 9, 8, 0, 6, 1, 5, 4, 7, 3]
