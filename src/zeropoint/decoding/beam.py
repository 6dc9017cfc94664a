"""Keep the few likeliest beginnings, and take the likeliest answer in the end.

Greedy decoding cannot take back a first word that leads nowhere good. Beam search follows n_beams beginnings
at once, by the sum of their log-probabilities; lengths are made comparable by the penalty of Wu et al.,
"Google's Neural Machine Translation System", 2016, section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.contract import Stepper
from zeropoint.errors import BadInput

__all__ = ["Beam", "Found", "Search", "beam_search"]


@dataclass(frozen=True)
class Beam:
    """n_beams: beginnings followed. length_penalty: 0 ranks by the sum; 0.6 to 1 favours longer answers."""

    n_beams: int = 4
    length_penalty: float = 0.6

    def rank(self, logprob: float, n_tokens: int) -> float:
        """The sum of log-probabilities over ((5 + n) / 6)^length_penalty."""
        return float(logprob / ((5 + n_tokens) / 6) ** self.length_penalty)


@dataclass(frozen=True)
class Found:
    """An answer. logprob: natural-log probability of all its tokens, the stop token's included."""

    ids: tuple[int, ...]
    logprob: float
    is_stopped: bool


def beam_search(
    open_stepper: Callable[[], Stepper],
    prompt: Sequence[int],
    n_new: int,
    spec: Beam,
    stop_ids: Collection[int] = (),
) -> list[Found]:
    """The n_beams best answers, best first; up to n_new tokens, without the stop token.

    open_stepper: gives a fresh sequence; n_beams of them are used.
    """
    seats = [_Seat(open_stepper(), prompt) for _ in range(spec.n_beams)]
    search = Search(spec, n_new, stop_ids)
    while not search.is_over:
        rows = [seat.logprobs(found.ids) for seat, found in zip(seats, search.going, strict=False)]
        n_looked_at = min(search.n_looked_at, len(rows[0]))
        best = [np.argsort(-row, kind="stable")[:n_looked_at].tolist() for row in rows]
        search.step(best, [row[ids].tolist() for row, ids in zip(rows, best, strict=True)])
    return search.found()


class Search:
    """One beam search, whoever computes the logits: which beginnings go on, and which answers are done."""

    def __init__(self, spec: Beam, n_new: int, stop_ids: Collection[int] = ()) -> None:
        if spec.n_beams < 1 or n_new < 1:
            raise BadInput(f"n_beams is {spec.n_beams} and n_new {n_new}; expected 1 or more of each")
        self.spec, self.n_new, self.stop_ids = spec, n_new, stop_ids
        self.n_looked_at = spec.n_beams + len(stop_ids)  # of each beginning: some may end
        self.going, self.done = [Found((), 0.0, False)], list[Found]()

    @property
    def is_over(self) -> bool:
        """Whether the answers are long enough, or no beginning can beat what is done."""
        return not self.going or len(self.going[0].ids) == self.n_new or self._is_settled()

    def step(self, ids_GK: Sequence[Sequence[int]], logprobs_GK: Sequence[Sequence[float]]) -> list[int]:
        """One more token for every beginning, given the likeliest tokens of each, best first.

        Returns, for each beginning that goes on, the number of the one it follows.
        """
        follow, ended = list[tuple[int, Found]](), list[Found]()
        for parent, (found, ids, logprobs) in enumerate(zip(self.going, ids_GK, logprobs_GK, strict=True)):
            for token, logprob in zip(ids, logprobs, strict=True):
                total = found.logprob + logprob
                if token in self.stop_ids:
                    ended.append(Found(found.ids, total, True))
                else:
                    follow.append((parent, Found((*found.ids, token), total, False)))
        follow = sorted(follow, key=lambda item: -item[1].logprob)[: self.spec.n_beams]
        self.going = [found for _, found in follow]
        self.done = self._best(self.done + ended)
        return [parent for parent, _ in follow]

    def found(self) -> list[Found]:
        """The n_beams best so far, best first."""
        return self._best(self.done + self.going)

    def _best(self, answers: list[Found]) -> list[Found]:
        return sorted(answers, key=lambda found: -self._rank(found))[: self.spec.n_beams]

    def _rank(self, found: Found) -> float:
        return self.spec.rank(found.logprob, len(found.ids) + found.is_stopped)

    def _is_settled(self) -> bool:
        """True where no beginning can still beat what is done: a log-probability only falls."""
        if len(self.done) < self.spec.n_beams:
            return False
        hope = max(self.spec.rank(found.logprob, self.n_new) for found in self.going)
        return self._rank(self.done[-1]) >= hope


class _Seat:
    """A sequence that is moved from one beginning to another by taking back what they do not share."""

    def __init__(self, stepper: Stepper, prompt: Sequence[int]) -> None:
        self.stepper, self.prompt = stepper, list(prompt)
        self.held: list[int] = []

    def logprobs(self, answer: Sequence[int]) -> NDArray[np.float64]:
        """Natural-log probabilities of the token after prompt and answer: [V]."""
        wanted = [*self.prompt, *answer]
        n_shared = 0
        for mine, theirs in zip(self.held, wanted[:-1], strict=False):
            if mine != theirs:
                break
            n_shared += 1
        self.stepper.rollback(len(self.held) - n_shared)
        logits_V = self.stepper.extend(wanted[n_shared:])[-1].astype(np.float64)
        self.held = wanted
        shifted_V = logits_V - logits_V.max()
        logprobs_V: NDArray[np.float64] = shifted_V - np.log(np.exp(shifted_V).sum())
        return logprobs_V
