"""Word frequencies, context pairs and co-occurrences."""

from __future__ import annotations

import numpy as np
import pytest

from zeropoint.data.word_counts import (
    WordCounts,
    context_pairs,
    cooccurrences,
    noise_distribution,
    split_words,
)
from zeropoint.errors import BadInput


def test_words_are_split_and_counted() -> None:
    text = split_words("The cat's hat, THE hat; 12 über_x")
    assert text == ["the", "cat's", "hat", "the", "hat", "über", "x"]
    words = WordCounts.of(text, min_count=2)
    assert (words.words, words.counts) == (("hat", "the"), (2, 2))
    assert words.ids(text).tolist() == [1, 0, 1, 0]


def test_too_few_words_are_rejected() -> None:
    with pytest.raises(BadInput, match="1 words occur at least 1 times"):
        WordCounts.of(["a", "a"])


def test_contexts_are_all_pairs_within_the_window() -> None:
    centres, neighbours = context_pairs(np.array([5, 6, 7]), 2)
    assert sorted(zip(centres.tolist(), neighbours.tolist(), strict=True)) == [
        (5, 6), (5, 7), (6, 5), (6, 7), (7, 5), (7, 6)
    ]  # fmt: skip


def test_cooccurrences_are_symmetric_and_weighted_by_distance() -> None:
    rows, columns, counts = cooccurrences(np.array([0, 1, 2, 1]), 2)
    table = np.zeros((3, 3))
    table[rows, columns] = counts
    assert (table == table.T).all()
    assert table[0, 1] == 1
    assert table[0, 2] == 0.5
    assert table[1, 2] == 2
    assert table[1, 1] == 1  # the two ones, 2 apart, counted from both sides


def test_the_noise_distribution_flattens_counts() -> None:
    p = noise_distribution([16, 1])
    assert p.tolist() == pytest.approx([8 / 9, 1 / 9])
