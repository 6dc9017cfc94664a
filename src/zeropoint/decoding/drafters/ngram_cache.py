"""An n-gram cache: after the same few tokens, the token that followed most often follows again.

As llama.cpp's lookup decoding and Ou et al., "Lossless acceleration of large language model via adaptive
n-gram parallel decoding", 2024. Unlike prompt lookup, it counts: a guess is the most frequent continuation,
and guesses go on through different places of the text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from zeropoint.decoding.drafter import Draft, Drafter

__all__ = ["NgramCache"]

_LENGTHS = (4, 3, 2)
_MIN_SHARE = 0.5  # of the occurrences of an n-gram that its most frequent continuation must have


class NgramCache(Drafter):
    """Guesses one token after another from counts of what followed the last four, three or two."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._next: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)

    def extend(self, ids: Sequence[int]) -> None:
        """Append tokens, and count each as the continuation of the n-grams before it."""
        for token in ids:
            for n in _LENGTHS:
                if n <= len(self._ids):
                    self._next[tuple(self._ids[-n:])][token] += 1
            self._ids.append(token)

    def propose(self, n: int) -> Draft:
        """A chain of most frequent continuations, up to one that is not frequent enough."""
        context, tokens, n_matched = self._ids[-max(_LENGTHS) :], list[int](), 0
        while len(tokens) < n:
            token, length = self._best(context)
            if token is None:
                break
            n_matched = n_matched or length
            tokens.append(token)
            context = [*context[1 - max(_LENGTHS) :], token]
        return Draft(tokens, n_matched)

    def _best(self, context: list[int]) -> tuple[int | None, int]:
        for length in _LENGTHS:
            counts = self._next.get(tuple(context[-length:])) if length <= len(context) else None
            if counts:
                token, count = counts.most_common(1)[0]
                if count >= _MIN_SHARE * counts.total():
                    return token, length
        return None, 0
