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

__all__ = ["Beam", "Found", "beam_search"]


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
    if spec.n_beams < 1 or n_new < 1:
        raise BadInput(f"n_beams is {spec.n_beams} and n_new {n_new}; expected 1 or more of each")
    seats = [_Seat(open_stepper(), prompt) for _ in range(spec.n_beams)]
    going, done = [Found((), 0.0, False)], list[Found]()
    for _ in range(n_new):
        going, ended = _step(seats, going, spec.n_beams, stop_ids)
        done = sorted(done + ended, key=lambda f: -_rank(spec, f))[: spec.n_beams]
        if not going or _is_settled(spec, going, done, n_new):
            break
    return sorted(done + going, key=lambda f: -_rank(spec, f))[: spec.n_beams]


def _step(
    seats: list[_Seat], going: list[Found], n_beams: int, stop_ids: Collection[int]
) -> tuple[list[Found], list[Found]]:
    """One more token for every beginning: the n_beams likeliest that go on, and those that end."""
    logprobs_BV = np.stack(
        [seat.logprobs(found.ids) + found.logprob for seat, found in zip(seats, going, strict=False)]
    )
    n_looked_at = min(n_beams + len(stop_ids), logprobs_BV.shape[1])
    follow, ended = list[Found](), list[Found]()
    for found, row in zip(going, logprobs_BV, strict=True):
        for token in np.argsort(-row, kind="stable")[:n_looked_at]:
            if int(token) in stop_ids:
                ended.append(Found(found.ids, float(row[token]), True))
            else:
                follow.append(Found((*found.ids, int(token)), float(row[token]), False))
    return sorted(follow, key=lambda f: -f.logprob)[:n_beams], ended


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


def _rank(spec: Beam, found: Found) -> float:
    return spec.rank(found.logprob, len(found.ids) + found.is_stopped)


def _is_settled(spec: Beam, going: list[Found], done: list[Found], n_new: int) -> bool:
    """True where no beginning can still beat what is done: a log-probability only falls."""
    if len(done) < spec.n_beams:
        return False
    hope = max(spec.rank(found.logprob, n_new) for found in going)
    return _rank(spec, done[-1]) >= hope
