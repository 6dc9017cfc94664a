"""Greedy decoding and beam search with a model that is a lookup table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from zeropoint.decoding.beam import Beam, Hypothesis, beam_search
from zeropoint.decoding.greedy import greedy
from zeropoint.errors import BadInput


class Table:
    """A stepper whose logits depend on the last two tokens."""

    def __init__(self, n_vocab: int = 5, seed: int = 0) -> None:
        self.rows = np.random.default_rng(seed).normal(0, 1.5, (n_vocab, n_vocab, n_vocab)).astype(np.float32)
        self.ids: list[int] = []

    @property
    def n_tokens(self) -> int:
        return len(self.ids)

    def extend(self, ids: Sequence[int]) -> np.ndarray:
        assert len(ids)
        logits = []
        for token in ids:
            logits.append(self.rows[self.ids[-1] if self.ids else 0, token])
            self.ids.append(token)
        return np.stack(logits)

    def rollback(self, n: int) -> None:
        assert 0 <= n <= len(self.ids)
        del self.ids[len(self.ids) - n :]


def logprob(table: Table, prompt: Sequence[int], answer: Sequence[int]) -> float:
    ids = [*prompt, *answer]
    total = 0.0
    for i in range(len(prompt), len(ids)):
        row = table.rows[ids[i - 2] if i > 1 else 0, ids[i - 1]].astype(float)
        total += row[ids[i]] - np.log(np.exp(row).sum())
    return total


def test_greedy_takes_the_most_probable_token_and_stops() -> None:
    table = Table()
    answer = greedy(Table(), [1, 2], 6)
    ids = [1, 2]
    for token in answer:
        assert token == table.rows[ids[-2], ids[-1]].argmax()
        ids.append(token)
    assert greedy(Table(), [1, 2], 6, stop_ids={answer[3]}) == answer[: answer.index(answer[3])]


def test_beam_search_with_one_beam_equals_greedy() -> None:
    (best,) = beam_search(Table, [1, 2], 6, Beam(1))
    assert list(best.ids) == greedy(Table(), [1, 2], 6)
    assert best.logprob == pytest.approx(logprob(Table(), [1, 2], best.ids), abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_enough_beams_find_the_best_of_all_answers(seed: int) -> None:
    hypotheses = beam_search(lambda: Table(seed=seed), [1], 3, Beam(125, 0.0))
    table = Table(seed=seed)
    all_answers = sorted(itertools.product(range(5), repeat=3), key=lambda ids: -logprob(table, [1], ids))
    assert [f.ids for f in hypotheses[:10]] == all_answers[:10]


@pytest.mark.parametrize("seed", range(5))
def test_beam_search_is_never_worse_than_greedy(seed: int) -> None:
    best = beam_search(lambda: Table(seed=seed), [1], 5, Beam(4, 0.0))[0]
    table = Table(seed=seed)
    assert best.logprob >= logprob(table, [1], greedy(Table(seed=seed), [1], 5)) - 1e-6


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_stopped_answers_compete_by_their_scores(seed: int, penalty: float) -> None:
    spec, table = Beam(400, penalty), Table(seed=seed)
    hypotheses = beam_search(lambda: Table(seed=seed), [1], 4, spec, stop_ids={0})
    stopped = [
        Hypothesis((*ids,), logprob(table, [1], (*ids, 0)), True)
        for n in range(4)
        for ids in itertools.product(range(1, 5), repeat=n)
    ]
    unstopped = [
        Hypothesis(ids, logprob(table, [1], ids), False) for ids in itertools.product(range(1, 5), repeat=4)
    ]
    best = max(stopped + unstopped, key=lambda f: spec.score(f.logprob, len(f.ids) + f.is_stopped))
    assert (hypotheses[0].ids, hypotheses[0].is_stopped) == (best.ids, best.is_stopped)


def test_larger_length_penalty_favours_longer_answers() -> None:
    assert Beam(1, 0.0).score(-2, 10) == -2
    assert Beam(1, 1.0).score(-2, 10) > Beam(1, 1.0).score(-2, 5)


def test_zero_beams_are_rejected() -> None:
    with pytest.raises(BadInput, match="n_beams is 0"):
        beam_search(Table, [1], 3, Beam(0))
