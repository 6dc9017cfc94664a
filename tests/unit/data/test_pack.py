"""Packed rows: no token lost, none asked for twice, and the same for however many workers."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.data.batches import IGNORED
from zeropoint.data.pack import PackedRows
from zeropoint.errors import BadInput


@pytest.mark.parametrize("n_tokens", [5, 8, 9, 10, 12, 13, 40, 41])
def test_every_token_is_asked_for_once_an_epoch(n_tokens: int) -> None:
    ids = np.arange(n_tokens, dtype=np.uint16)
    rows = PackedRows(ids, n_ctx=4, n_rows=1, seed=5)
    assert rows.n_all == -(-(n_tokens - 1) // 4)
    asked = np.concatenate([rows.batch(step)[1].ravel() for step in range(rows.n_all)])
    assert sorted(asked[asked != IGNORED]) == list(range(1, n_tokens))  # nothing comes before the first
    assert len(asked) == 4 * rows.n_all


def test_next_is_next() -> None:
    ids_BT, next_BT = PackedRows(np.arange(97, dtype=np.uint16), 8, 3, 1).batch(2)
    assert ids_BT.shape == next_BT.shape == (3, 8)
    assert ids_BT.dtype == next_BT.dtype == np.int64
    assert (next_BT == ids_BT + 1).all()


@pytest.mark.parametrize("n_workers", [1, 2, 3, 6])
def test_workers_together_have_the_whole_batch(n_workers: int) -> None:
    rows = PackedRows(np.arange(500, dtype=np.uint16), 8, 6, seed=3)
    for step in (0, 9, 10, 11):  # the epoch has 63 rows, so one batch lies across its end
        whole = rows.batch(step)[0]
        parts = [rows.batch(step, slice(worker, None, n_workers))[0] for worker in range(n_workers)]
        assert sorted(map(tuple, np.concatenate(parts))) == sorted(map(tuple, whole))
        assert (rows.batch(step, [4, 1])[0] == whole[[4, 1]]).all()


def test_without_a_seed_rows_come_as_they_stand() -> None:
    rows = PackedRows(np.arange(33, dtype=np.uint16), 8, 3, seed=None)
    assert rows.n_batches == 2
    assert rows.batch(0)[0][:, 0].tolist() == [0, 8, 16]
    assert rows.batch(1)[0][:, 0].tolist() == [24, 0, 8]


def test_too_little_text() -> None:
    with pytest.raises(BadInput, match="8 tokens; rows of 8 need more"):
        PackedRows(np.arange(8), 8, 1, 0)
