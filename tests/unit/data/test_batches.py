"""Batches by number: the same whoever asks, whole or in rows."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.data.batches import Batches, RandomWindows, Shuffled
from zeropoint.errors import BadInput

TEXT = np.arange(1000, 1100, dtype=np.uint16)
WINDOWS = RandomWindows(TEXT, n_ctx=8, n_rows=6, seed=3)
SHUFFLED = Shuffled((np.arange(10), np.arange(10) * 2), n_rows=4, seed=3)


@pytest.mark.parametrize("batches", [WINDOWS, SHUFFLED], ids=["windows", "shuffled"])
def test_a_batch_is_a_pure_function_of_its_number_and_rows(batches: Batches) -> None:
    whole = batches.batch(5)
    batches.batch(2)
    for again, first in zip(batches.batch(5), whole, strict=True):
        np.testing.assert_array_equal(again, first)
    for part, first in zip(batches.batch(5, slice(1, 3)), whole, strict=True):
        np.testing.assert_array_equal(part, first[1:3])
    for part, first in zip(batches.batch(5, [1, 0]), whole, strict=True):
        np.testing.assert_array_equal(part, first[[1, 0]])
    assert not np.array_equal(batches.batch(4)[0], whole[0])


def test_windows_are_pieces_of_the_text_and_ask_for_what_follows() -> None:
    ids, following = WINDOWS.batch(0)
    assert ids.shape == following.shape == (6, 8)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(following, ids + 1)
    starts = {int(row[0]) for step in range(300) for row in WINDOWS.batch(step)[0]}
    assert starts == set(range(1000, 1092))  # also the first and the last place there is


def test_every_row_comes_once_an_epoch() -> None:
    assert SHUFFLED.n_batches == 3
    epochs = [[SHUFFLED.batch(3 * epoch + k) for k in range(3)] for epoch in range(2)]
    orders = [np.concatenate([batch[0] for batch in epoch]) for epoch in epochs]
    assert [len(batch[0]) for batch in epochs[0]] == [4, 4, 2]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert list(orders[0]) != list(orders[1])
    assert all((b == 2 * a).all() for a, b in epochs[0])


def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(BadInput, match="the text has 100 tokens; windows of 100 need more than that"):
        RandomWindows(TEXT, n_ctx=100, n_rows=1, seed=0)
