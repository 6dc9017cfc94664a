"""A computed order: a permutation that depends on the seed and differs between epochs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropoint.data.permutation import Permutation, shuffled_indices


@pytest.mark.heavy
@given(n=st.integers(1, 3000), seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_every_number_occurs_once(n: int, seed: int) -> None:
    assert sorted(Permutation.of(n, seed).at(np.arange(n))) == list(range(n))


def test_elements_are_computed_independently() -> None:
    n = 10**12  # a list would not fit in memory
    full = Permutation.of(n, 7).at(np.arange(1000))
    assert (Permutation.of(n, 7).at(np.array([999, 3])) == full[[999, 3]]).all()
    assert len(set(full.tolist())) == 1000
    assert 0 <= full.min() <= full.max() < n


def test_the_order_is_shuffled() -> None:
    values = Permutation.of(10_000, 1).at(np.arange(10_000))
    assert abs(np.corrcoef(values, np.arange(10_000))[0, 1]) < 0.05
    steps = np.abs(np.diff(values))
    assert np.mean(steps) == pytest.approx(10_000 / 3, rel=0.05)  # of two independent numbers below n


def test_epochs_differ_and_any_range_can_be_computed() -> None:
    full = shuffled_indices(10, 3, 0, 30)
    assert [sorted(full[at : at + 10]) for at in (0, 10, 20)] == [list(range(10))] * 3
    assert (full[:10] != full[10:20]).any()
    assert (shuffled_indices(10, 3, 7, 9) == full[7:16]).all()
    assert (shuffled_indices(10, 4, 0, 30) != full).any()


def test_the_order_is_stable_across_versions() -> None:
    """A later version must resume a run with the same order."""
    assert shuffled_indices(10, 1337, 0, 10).tolist() == [2, 9, 8, 0, 6, 1, 5, 4, 7, 3]
