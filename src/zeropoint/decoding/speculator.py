"""`Speculator`: a drafter and a governor as the decoding method of one request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zeropoint import registry
from zeropoint.decoding.drafter import Draft, Drafter
from zeropoint.decoding.governor import MAX_GUESSES, Governor, PassCosts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AUTO", "DRAFT", "DRAFTERS", "FIRST_LAYERS", "MODEL_PREFIXES", "OFF", "Speculator", "speculator"]

AUTO, OFF = "auto", "off"
DRAFT, FIRST_LAYERS = MODEL_PREFIXES = ("draft=", "first-layers=")
DRAFTERS = "zeropoint.decoding.drafters"
_PROMPT_PART = 512  # tokens; the engine reads 256 in a step
_FIRST_DRAFT = 4  # guesses that a draft model makes before its speed is known
_AUTO_DRAFTER = "suffix_automaton"  # finds what prompt lookup finds, and longer matches


class Speculator:
    """Implements `decoding.method.DecodingMethod`.

    n_drafted, n_accepted: guesses verified and accepted so far.
    """

    def __init__(self, drafter: Drafter, governor: Governor, costs: PassCosts, prompt: Sequence[int]) -> None:
        self.n_drafted = self.n_accepted = 0
        self._drafter, self._governor, self._costs = drafter, governor, costs
        self._draft, self._n_verified = Draft(), 0
        self._is_decoding = False  # the first step samples after reading the prompt: no time of a pass
        self._unread = deque(prompt)  # read a part at a time, while the engine reads the prompt

    def before_step(self, n_others: int) -> tuple[Sequence[int], NDArray[np.uint32] | None]:
        """The guesses that are worth verifying."""
        self._draft, self._n_verified = Draft(), 0
        self._read(len(self._unread) if self._is_decoding else _PROMPT_PART)
        if self._is_decoding and self._drafter.seconds_per_guess:
            n = self._governor.n_to_draft(n_others, self._drafter.seconds_per_guess)
            self._draft = self._drafter.propose(n)
            self._n_verified = len(self._draft.tokens)
        elif self._is_decoding:
            n = MAX_GUESSES if self._drafter.is_free else _FIRST_DRAFT
            self._draft = self._drafter.propose(n)
            self._n_verified = self._governor.choose(self._draft, n_others)
        return self._draft.tokens[: self._n_verified], None

    def after_step(self, new_ids: Sequence[int], n_rows: int, seconds: float) -> None:
        """Learn the step's tokens, its cost, and how many guesses were right."""
        if self._is_decoding and n_rows:
            self._costs.observe(n_rows, seconds)
        if new_ids:
            self._is_decoding = True
            self._read(len(self._unread))
            self._drafter.extend(new_ids)
        if self._n_verified and new_ids:
            guesses = self._draft.tokens[: self._n_verified]
            n_right = next(
                (i for i, (guess, token) in enumerate(zip(guesses, new_ids, strict=False)) if guess != token),
                min(len(guesses), len(new_ids)),
            )
            self._governor.observe(self._draft, self._n_verified, n_right)
            self.n_drafted += self._n_verified
            self.n_accepted += n_right
        self._draft, self._n_verified = Draft(), 0  # the next step may be guided, without guesses

    def close(self) -> None:
        """Free what the drafter holds."""
        self._drafter.close()

    def _read(self, n: int) -> None:
        """Give the drafter the next n tokens of the prompt."""
        self._drafter.extend([self._unread.popleft() for _ in range(min(n, len(self._unread)))])


def speculator(
    name: str | None,
    prompt: Sequence[int],
    costs: PassCosts,
    open_draft_model: Callable[[str], Drafter],
) -> Speculator | None:
    """The method called `name` for a prompt: a file of `drafters/`, AUTO (also None), or None for OFF.

    open_draft_model: makes the drafter of a name that starts with one of `MODEL_PREFIXES`. Raises BadInput
    naming the closest drafter.
    """
    if name == OFF:
        return None
    if name is not None and name.startswith(MODEL_PREFIXES):
        return Speculator(open_draft_model(name), Governor(costs), costs, prompt)
    chosen = _AUTO_DRAFTER if name is None or name == AUTO else name
    drafter = registry.load_class(DRAFTERS, chosen, Drafter, "speculation method")  # type: ignore[type-abstract]
    return Speculator(drafter(), Governor(costs), costs, prompt)
