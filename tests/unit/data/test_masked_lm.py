"""BERT's masking: the share of targets and their replacements."""

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


def test_15_percent_are_targets_of_which_80_are_masked_10_random_10_unchanged() -> None:
    plain, batches = masked()
    original, (ids, target) = plain.batch(0)[0], batches.batch(0)
    is_target = target != IGNORED
    assert is_target.mean() == pytest.approx(0.15, abs=0.01)
    assert (target[is_target] == original[is_target]).all()
    assert (ids[~is_target] == original[~is_target]).all()
    is_masked = ids == codec().mask_id
    n_same = ((ids == original) & is_target).sum()
    assert is_masked[is_target].mean() == pytest.approx(0.8, abs=0.03)
    # 10 % are unchanged, and a random replacement equals the original once per vocabulary size.
    assert n_same / is_target.sum() == pytest.approx(0.1 + 0.1 / codec().n_vocab, abs=0.03)


def test_masking_depends_on_seed_and_step_but_not_on_rows() -> None:
    _, batches = masked()
    ids, target = batches.batch(7)
    for rows in (slice(8, 16), [3, 1]):
        part_ids, part_target = batches.batch(7, rows)
        assert (part_ids == ids[rows]).all()
        assert (part_target == target[rows]).all()
    assert ((batches.batch(8)[1] != IGNORED) != (target != IGNORED)).any()
    assert ((masked(seed=4)[1].batch(7)[1] != IGNORED) != (target != IGNORED)).any()
    assert batches.n_rows == 64


def test_control_tokens_are_neither_targets_nor_replacements() -> None:
    bpe = codec("bpe", has_end=True)
    ids = np.array([*bpe.encode(TEXT), bpe.end_id] * 200)
    batches = MaskedBatches(RandomWindows(ids, 64, 32, 0), bpe, 0, mask_prob=0.9)
    original = RandomWindows(ids, 64, 32, 0).batch(0)[0]
    ids_out, target = batches.batch(0)
    assert (original == bpe.end_id).any()
    assert (target != bpe.end_id).all()
    assert ((ids_out == bpe.end_id) == (original == bpe.end_id)).all()
    assert bpe.mask_id == bpe.n_vocab


def test_a_mask_prob_of_0_or_1_is_rejected() -> None:
    for mask_prob in (0.0, 1.0):
        with pytest.raises(BadInput, match="mask_prob"):
            masked(mask_prob=mask_prob)
