"""BLEU: 100 for a copy, a hand-computed score, and one result per set of weights and search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput
from zeropoint.evaluate.translation import bleu, compare_search

PAIRS = [("Ein Hund rennt schnell .", "A dog runs fast ."), ("Eine Katze schläft .", "A cat is sleeping .")]


@dataclass
class Glossary:
    """Translates with a dictionary; greedy search gets the second sentence wrong."""

    name: str

    def translate(self, texts: Sequence[str], beam: Beam | None = None) -> list[str]:
        table = dict(PAIRS) if beam else {PAIRS[0][0]: PAIRS[0][1]}
        return [table.get(text, "Two men .") for text in texts]


def test_a_copy_scores_100_and_an_error_scores_less() -> None:
    references = ["A dog runs over the grass .", "Two men are sitting on a bench ."]
    score, signature = bleu(references, references)
    assert score == pytest.approx(100)
    assert "case:mixed" in signature
    assert "tok:13a" in signature
    assert bleu(["A cat sleeps .", references[1]], references)[0] < 80


def test_lists_of_different_length_are_rejected() -> None:
    with pytest.raises(BadInput, match="1 translations and 2 references"):
        bleu(["A dog ."], ["A dog .", "A cat ."])


def test_a_hand_computed_score() -> None:
    """Precisions 4/5, 3/4, 2/3 and 1/2 and no brevity penalty: their geometric mean."""
    score, _ = bleu(["a b c d x"], ["a b c d e"])
    assert score == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_each_translator_is_scored_with_greedy_and_beam_search() -> None:
    rows = list(compare_search([Glossary("latest"), Glossary("best")], PAIRS, Beam(2)))
    assert [(row.weights, row.search) for row in rows] == [
        ("latest", "greedy"),
        ("latest", "beam 2"),
        ("best", "greedy"),
        ("best", "beam 2"),
    ]
    assert [row.bleu > 99 for row in rows] == [False, True, False, True]
    assert {row.n_sentences for row in rows} == {2}
