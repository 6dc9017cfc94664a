"""Batches by number: pure functions of step and rows; invalid sizes are rejected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zeropoint.data.batches import Batches, RandomWindows, Shuffled
from zeropoint.data.pack import PackedRows
from zeropoint.data.pairs import PairBatches
from zeropoint.errors import BadInput

TEXT = np.arange(1000, 1100, dtype=np.uint16)
WINDOWS = RandomWindows(TEXT, n_ctx=8, n_rows=6, seed=3)
SHUFFLED = Shuffled((np.arange(10), np.arange(10) * 2), n_rows=4, seed=3)


@pytest.mark.parametrize("batches", [WINDOWS, SHUFFLED], ids=["windows", "shuffled"])
def test_a_batch_is_a_pure_function_of_its_number_and_rows(batches: Batches) -> None:
    full = batches.batch(5)
    batches.batch(2)
    for again, first in zip(batches.batch(5), full, strict=True):
        np.testing.assert_array_equal(again, first)
    for part, first in zip(batches.batch(5, slice(1, 3)), full, strict=True):
        np.testing.assert_array_equal(part, first[1:3])
    for part, first in zip(batches.batch(5, [1, 0]), full, strict=True):
        np.testing.assert_array_equal(part, first[[1, 0]])
    assert not np.array_equal(batches.batch(4)[0], full[0])


def test_windows_have_the_next_token_as_target() -> None:
    ids, target = WINDOWS.batch(0)
    assert ids.shape == target.shape == (6, 8)
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(target, ids + 1)
    starts = {int(row[0]) for step in range(300) for row in WINDOWS.batch(step)[0]}
    assert starts == set(range(1000, 1092))  # including the first and the last possible start


def test_every_row_occurs_once_per_epoch() -> None:
    assert SHUFFLED.n_batches == 3
    epochs = [[SHUFFLED.batch(3 * epoch + k) for k in range(3)] for epoch in range(2)]
    orders = [np.concatenate([batch[0] for batch in epoch]) for epoch in epochs]
    assert [len(batch[0]) for batch in epochs[0]] == [4, 4, 2]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert list(orders[0]) != list(orders[1])
    assert all((b == 2 * a).all() for a, b in epochs[0])


def test_a_text_shorter_than_a_window_is_rejected() -> None:
    with pytest.raises(BadInput, match=r"the text has 100 tokens, but rows of n_ctx=100 need at least 101"):
        RandomWindows(TEXT, n_ctx=100, n_rows=1, seed=0)


MAKERS: dict[str, Callable[[int], Batches]] = {
    "windows": lambda n_rows: RandomWindows(TEXT, 8, n_rows, 0),
    "shuffled": lambda n_rows: Shuffled((np.arange(10),), n_rows, 0),
    "packed": lambda n_rows: PackedRows(TEXT, 8, n_rows, 0),
    "pairs": lambda n_rows: PairBatches([([1], [2])], n_rows, 0, 0),
}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("n_rows", [0, -1])
def test_a_batch_size_below_1_is_rejected(kind: str, n_rows: int) -> None:
    assert len(MAKERS[kind](1).batch(0)[0]) == 1
    with pytest.raises(BadInput, match=f"the batch size is {n_rows}; expected 1 or more"):
        MAKERS[kind](n_rows)


@pytest.mark.parametrize("make", [RandomWindows, PackedRows])
@pytest.mark.parametrize("n_ctx", [0, -1])
def test_rows_without_tokens_are_rejected(make: Callable[..., Batches], n_ctx: int) -> None:
    with pytest.raises(BadInput, match=f"n_ctx is {n_ctx}; expected 1 or more"):
        make(TEXT, n_ctx, 1, 0)


def test_shuffled_needs_rows() -> None:
    with pytest.raises(BadInput, match="there are no rows"):
        Shuffled((np.arange(0),), 1, 0)
