"""BERT's masking: what share is asked for, and what is put in its place."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.data.batches import IGNORED, RandomWindows
from zeropoint.data.masked_lm import MaskedBatches
from zeropoint.data.text_codec import TextCodec, train_codec
from zeropoint.errors import BadInput

TEXT = "the quick brown fox jumps over the lazy dog "


def codec(kind: str = "characters", has_end: bool = False) -> TextCodec:
    return train_codec(kind, [TEXT], n_vocab=300, has_end=has_end)


def masked(seed: int = 3, mask_prob: float = 0.15) -> tuple[RandomWindows, MaskedBatches]:
    ids = np.array(codec().encode(TEXT * 500))
    plain = RandomWindows(ids, 128, 64, 0)
    return plain, MaskedBatches(plain, codec(), seed, mask_prob)


def test_15_in_100_are_asked_for_8_in_10_hidden_1_replaced_1_left() -> None:
    plain, batches = masked()
    was, (ids, wanted) = plain.batch(0)[0], batches.batch(0)
    is_asked = wanted != IGNORED
    assert is_asked.mean() == pytest.approx(0.15, abs=0.01)
    assert (wanted[is_asked] == was[is_asked]).all()
    assert (ids[~is_asked] == was[~is_asked]).all()
    is_hidden = ids == codec().mask_id
    n_same = ((ids == was) & is_asked).sum()
    assert is_hidden[is_asked].mean() == pytest.approx(0.8, abs=0.03)
    # One in ten stays, and of those replaced one in the vocabulary's size by itself.
    assert n_same / is_asked.sum() == pytest.approx(0.1 + 0.1 / codec().n_vocab, abs=0.03)


def test_what_is_hidden_depends_on_seed_and_step_not_on_rows() -> None:
    _, batches = masked()
    ids, wanted = batches.batch(7)
    for rows in (slice(8, 16), [3, 1]):
        part_ids, part_wanted = batches.batch(7, rows)
        assert (part_ids == ids[rows]).all()
        assert (part_wanted == wanted[rows]).all()
    assert ((batches.batch(8)[1] != IGNORED) != (wanted != IGNORED)).any()
    assert ((masked(seed=4)[1].batch(7)[1] != IGNORED) != (wanted != IGNORED)).any()
    assert batches.n_rows == 64


def test_control_tokens_are_neither_asked_for_nor_put_in() -> None:
    of_pairs = codec("bpe", has_end=True)
    ids = np.array([*of_pairs.encode(TEXT), of_pairs.end_id] * 200)
    batches = MaskedBatches(RandomWindows(ids, 64, 32, 0), of_pairs, 0, mask_prob=0.9)
    was = RandomWindows(ids, 64, 32, 0).batch(0)[0]
    shown, wanted = batches.batch(0)
    assert (was == of_pairs.end_id).any()
    assert (wanted != of_pairs.end_id).all()
    assert ((shown == of_pairs.end_id) == (was == of_pairs.end_id)).all()
    assert of_pairs.mask_id == of_pairs.n_vocab


def test_a_share_of_all_or_nothing_is_refused() -> None:
    for mask_prob in (0.0, 1.0):
        with pytest.raises(BadInput, match="mask_prob"):
            masked(mask_prob=mask_prob)
