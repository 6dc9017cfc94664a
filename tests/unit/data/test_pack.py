"""Packed rows: every token is a target exactly once per epoch, for any number of workers."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.data.batches import IGNORED
from zeropoint.data.pack import PackedRows
from zeropoint.errors import BadInput


@pytest.mark.parametrize("n_tokens", [5, 8, 9, 10, 12, 13, 40, 41])
def test_every_token_is_a_target_once_per_epoch(n_tokens: int) -> None:
    ids = np.arange(n_tokens, dtype=np.uint16)
    rows = PackedRows(ids, n_ctx=4, n_rows=1, seed=5)
    assert rows.n_epoch_rows == -(-(n_tokens - 1) // 4)
    targets = np.concatenate([rows.batch(step)[1].ravel() for step in range(rows.n_epoch_rows)])
    assert sorted(targets[targets != IGNORED]) == list(
        range(1, n_tokens)
    )  # the first token has no predecessor
    assert len(targets) == 4 * rows.n_epoch_rows


def test_the_target_is_the_next_token() -> None:
    ids_BT, target_BT = PackedRows(np.arange(97, dtype=np.uint16), 8, 3, 1).batch(2)
    assert ids_BT.shape == target_BT.shape == (3, 8)
    assert ids_BT.dtype == target_BT.dtype == np.int64
    assert (target_BT == ids_BT + 1).all()


@pytest.mark.parametrize("n_workers", [1, 2, 3, 6])
def test_workers_share_one_batch(n_workers: int) -> None:
    rows = PackedRows(np.arange(500, dtype=np.uint16), 8, 6, seed=3)
    for step in (0, 9, 10, 11):  # an epoch has 63 rows, so one batch spans its end
        whole = rows.batch(step)[0]
        parts = [rows.batch(step, slice(worker, None, n_workers))[0] for worker in range(n_workers)]
        assert sorted(map(tuple, np.concatenate(parts))) == sorted(map(tuple, whole))
        assert (rows.batch(step, [4, 1])[0] == whole[[4, 1]]).all()


def test_without_a_seed_rows_are_in_order() -> None:
    rows = PackedRows(np.arange(33, dtype=np.uint16), 8, 3, seed=None)
    assert rows.n_batches == 2
    assert rows.batch(0)[0][:, 0].tolist() == [0, 8, 16]
    assert rows.batch(1)[0][:, 0].tolist() == [24, 0, 8]


def test_too_little_text_is_rejected() -> None:
    with pytest.raises(BadInput, match="8 tokens, but rows of n_ctx=8 need at least 9"):
        PackedRows(np.arange(8), 8, 1, 0)
