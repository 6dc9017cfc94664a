"""Beam search: extend the most probable partial answers in parallel, and return the best complete ones.

Greedy decoding cannot undo a first token that leads nowhere. Beam search keeps n_beams hypotheses, ranked by
the sum of their log-probabilities. A length penalty makes answers of different lengths comparable (Wu et al.,
"Google's Neural Machine Translation System", 2016, section 7).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.contract import Stepper
from zeropoint.errors import BadInput

__all__ = ["Beam", "BeamSearch", "Hypothesis", "beam_search"]


@dataclass(frozen=True)
class Beam:
    """n_beams: hypotheses kept. length_penalty: 0 ranks by the sum; 0.6 to 1 favours longer answers."""

    n_beams: int = 4
    length_penalty: float = 0.6

    def score(self, logprob: float, n_tokens: int) -> float:
        """The sum of log-probabilities divided by ((5 + n) / 6)^length_penalty."""
        return float(logprob / ((5 + n_tokens) / 6) ** self.length_penalty)


@dataclass(frozen=True)
class Hypothesis:
    """An answer. logprob: natural-log probability of all its tokens, including the stop token.

    is_stopped: True if it ended with a stop token.
    """

    ids: tuple[int, ...]
    logprob: float
    is_stopped: bool


def beam_search(
    open_stepper: Callable[[], Stepper],
    prompt: Sequence[int],
    max_tokens: int,
    spec: Beam,
    stop_ids: Collection[int] = (),
) -> list[Hypothesis]:
    """The n_beams best answers, best first; at most max_tokens long, without the stop token.

    open_stepper: returns a new sequence; called n_beams times.
    """
    sequences = [_Sequence(open_stepper(), prompt) for _ in range(spec.n_beams)]
    search = BeamSearch(spec, max_tokens, stop_ids)
    while not search.is_done:
        rows = [s.logprobs(h.ids) for s, h in zip(sequences, search.active, strict=False)]
        n_candidates = min(search.n_candidates, len(rows[0]))
        top_ids = [np.argsort(-row, kind="stable")[:n_candidates].tolist() for row in rows]
        search.step(top_ids, [row[ids].tolist() for row, ids in zip(rows, top_ids, strict=True)])
    return search.best()


class BeamSearch:
    """The state of one beam search, independent of how logits are computed.

    active: hypotheses that can grow, best first. finished: those that ended with a stop token. n_candidates:
    how many tokens to consider after each hypothesis, so that n_beams remain if every stop token is among
    them.
    """

    def __init__(self, spec: Beam, max_tokens: int, stop_ids: Collection[int] = ()) -> None:
        if spec.n_beams < 1 or max_tokens < 1:
            raise BadInput(
                f"n_beams is {spec.n_beams} and max_tokens {max_tokens}; expected 1 or more of each"
            )
        self.spec, self.max_tokens, self.stop_ids = spec, max_tokens, stop_ids
        self.n_candidates = spec.n_beams + len(stop_ids)
        self.active, self.finished = [Hypothesis((), 0.0, False)], list[Hypothesis]()

    @property
    def is_done(self) -> bool:
        """True if the answers have max_tokens, or no active hypothesis can beat the finished ones."""
        return not self.active or len(self.active[0].ids) == self.max_tokens or self._is_settled()

    def step(self, ids_GK: Sequence[Sequence[int]], logprobs_GK: Sequence[Sequence[float]]) -> list[int]:
        """Add one token. For each of G active hypotheses, its K most probable next tokens, best first.

        Returns, for each new active hypothesis, the index of the one it extends.
        """
        extended, stopped = list[tuple[int, Hypothesis]](), list[Hypothesis]()
        for parent, (hypothesis, ids, logprobs) in enumerate(
            zip(self.active, ids_GK, logprobs_GK, strict=True)
        ):
            for token, logprob in zip(ids, logprobs, strict=True):
                total = hypothesis.logprob + logprob
                if token in self.stop_ids:
                    stopped.append(Hypothesis(hypothesis.ids, total, True))
                else:
                    extended.append((parent, Hypothesis((*hypothesis.ids, token), total, False)))
        extended = sorted(extended, key=lambda item: -item[1].logprob)[: self.spec.n_beams]
        self.active = [hypothesis for _, hypothesis in extended]
        self.finished = self._top(self.finished + stopped)
        return [parent for parent, _ in extended]

    def best(self) -> list[Hypothesis]:
        """The n_beams best hypotheses so far, best first."""
        return self._top(self.finished + self.active)

    def _top(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        return sorted(hypotheses, key=lambda h: -self._score(h))[: self.spec.n_beams]

    def _score(self, hypothesis: Hypothesis) -> float:
        return self.spec.score(hypothesis.logprob, len(hypothesis.ids) + hypothesis.is_stopped)

    def _is_settled(self) -> bool:
        """True if no active hypothesis can still win: every further token lowers its log-probability."""
        if len(self.finished) < self.spec.n_beams:
            return False
        bound = max(self.spec.score(hypothesis.logprob, self.max_tokens) for hypothesis in self.active)
        return self._score(self.finished[-1]) >= bound


class _Sequence:
    """A stepper that switches between hypotheses by rolling back to their common prefix."""

    def __init__(self, stepper: Stepper, prompt: Sequence[int]) -> None:
        self.stepper, self.prompt = stepper, list(prompt)
        self.ids: list[int] = []

    def logprobs(self, answer: Sequence[int]) -> NDArray[np.float64]:
        """Natural-log probabilities of the token after prompt and answer: [V]."""
        target = [*self.prompt, *answer]
        n_shared = 0
        for current, needed in zip(self.ids, target[:-1], strict=False):
            if current != needed:
                break
            n_shared += 1
        self.stepper.rollback(len(self.ids) - n_shared)
        logits_V = self.stepper.extend(target[n_shared:])[-1].astype(np.float64)
        self.ids = target
        shifted_V = logits_V - logits_V.max()
        logprobs_V: NDArray[np.float64] = shifted_V - np.log(np.exp(shifted_V).sum())
        return logprobs_V
