"""BLEU: 100 for a copy, what sacrebleu's paper says for less, and a table for each search and weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_pairs import PAIRS
from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput
from zeropoint.evaluate.translation import bleu, judge, judged_by


def test_a_copy_has_100_and_less_has_less() -> None:
    references = ["A dog runs over the grass .", "Two men are sitting on a bench ."]
    score, signature = bleu(references, references)
    assert score == pytest.approx(100)
    assert "case:mixed" in signature
    assert "tok:13a" in signature
    assert bleu(["A cat sleeps .", references[1]], references)[0] < 80
    with pytest.raises(BadInput, match="1 answers to 2 references"):
        bleu(references[:1], references)


def test_a_hand_computed_score() -> None:
    """Precisions 4/5, 3/4, 2/3 and 1/2, no penalty for length: their geometric mean."""
    score, _ = bleu(["a b c d x"], ["a b c d e"])
    assert score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_greedy_and_beam_with_last_best_and_mean_weights(trained_pairs: Path) -> None:
    pairs = judged_by(trained_pairs, "test")
    assert pairs == PAIRS[::3]
    rows = list(judge(trained_pairs, pairs, Beam(2), 2))
    assert [row.search for row in rows] == ["greedy", "beam 2"] * (len(rows) // 2)
    assert [row.weights for row in rows][-1] == "run, mean of steps 80 to 100"
    assert {round(row.bleu, 6) for row in rows} == {100}
    assert {row.n_pairs for row in rows} == {len(pairs)}


def test_a_part_that_is_not_there_is_refused(trained_pairs: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown part of .* `tst`; expected one of .*\(closest: test\)"):
        judged_by(trained_pairs, "tst")
