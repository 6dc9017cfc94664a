"""`Drafter`: guesses the next tokens of a text. Each file in `drafters/` is one, found by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from zeropoint.frozen import frozen

__all__ = ["MODEL_MATCH", "Draft", "Drafter"]

MODEL_MATCH = -1
"""`Draft.n_matched` of a model's guesses, which rest on no repetition."""


@frozen
class Draft:
    """Guesses of the next tokens. n_matched: tokens before them on which they are based, 0 for no guess.

    Longer matches make better guesses, so acceptance is counted by this length.
    """

    tokens: Sequence[int] = ()
    n_matched: int = 0


class Drafter(ABC):
    """Guesses for one text, which grows by `extend`.

    is_free: whether a guess costs next to nothing; if not, seconds_per_guess is what it costs, 0 before the
    first one.
    """

    is_free = True
    seconds_per_guess = 0.0

    @abstractmethod
    def extend(self, ids: Sequence[int]) -> None:
        """Append tokens to the text: first the prompt, then what was generated."""

    @abstractmethod
    def propose(self, n: int) -> Draft:
        """Up to n guesses of the tokens after the text."""

    def close(self) -> None:  # noqa: B027  # most drafters hold nothing
        """Free what the drafter holds."""
