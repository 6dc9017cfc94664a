"""DRY ("don't repeat yourself"): make a token less likely the longer the repetition that it would continue.

Weidmann, "DRY: a modern repetition penalty that reliably prevents looping", 2024 (a proposal to
text-generation-webui). Unlike a repetition penalty, it leaves single words alone: only a token that followed
the same `dry_allowed_length` or more tokens before is penalized. A match ends at a sequence breaker: a token
whose text contains one of `BREAKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from zeropoint.frozen import frozen
from zeropoint.options import MAX_INT, option
from zeropoint.sampling.step import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BREAKERS = ("\n", ":", '"', "*")
"""Texts that end a match: without them, the markers of a chat template would count as repetitions."""

_MAX_PENALTY = 1e6  # excludes a token in practice, and keeps the power from overflowing


@frozen
class Dry(Step):
    """Subtract dry_multiplier * dry_base^(n - dry_allowed_length) where a token continues n repeated ones.

    breaker_ids: tokens that end a match; `with_tokenizer` finds them.
    """

    order: ClassVar[int] = 35
    dry_multiplier: float = option(
        0.0, 0, 100, "Make tokens that continue a repetition less likely, as in 0.8; 0 is off."
    )
    dry_base: float = option(1.75, 1, 10, "How much each further repeated token adds to that penalty.")
    dry_allowed_length: int = option(
        2, 1, MAX_INT, "Repetitions of fewer tokens than this are not penalized."
    )
    breaker_ids: frozenset[int] = frozenset()

    def is_identity(self) -> bool:
        return self.dry_multiplier == 0

    def with_tokenizer(self, spellings: Callable[[], Sequence[str]]) -> Dry:
        found = (i for i, text in enumerate(spellings()) if any(breaker in text for breaker in BREAKERS))
        return replace(self, breaker_ids=frozenset(found))

    def fields(self) -> dict[str, float]:
        return {name: value for name, value in super().fields().items() if name != "breaker_ids"}

    def native_fields(self) -> dict[str, float]:
        return {**self.fields(), **{str(token): 1.0 for token in self.breaker_ids}}

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        logits_V = logits_V.copy()
        for token, length in self._continuations(history).items():
            if token < len(logits_V):
                logits_V[token] -= np.float32(self._penalty(length))
        return logits_V

    def _continuations(self, history: Sequence[int]) -> dict[int, int]:
        """The longest repetition that each token would continue, of at least dry_allowed_length tokens."""
        backwards = [int(token) for token in reversed(history)]
        lengths = common_prefixes(backwards)
        n_usable = next((i for i, token in enumerate(backwards) if token in self.breaker_ids), len(backwards))
        longest: dict[int, int] = {}
        for i in range(1, len(backwards)):
            length = min(lengths[i], n_usable)
            if length >= self.dry_allowed_length:
                following = backwards[i - 1]
                longest[following] = max(longest.get(following, 0), length)
        return longest

    def _penalty(self, length: int) -> float:
        penalty = float(self.dry_multiplier)
        for _ in range(length - self.dry_allowed_length):
            if penalty >= _MAX_PENALTY:
                break
            penalty *= self.dry_base
        return min(penalty, _MAX_PENALTY)


def common_prefixes(text: Sequence[int]) -> list[int]:
    """For each place of a text, how many of its tokens equal those at the start: the Z function, in O(T).

    Gusfield, "Algorithms on strings, trees and sequences", 1997, section 1.4.
    """
    lengths = [len(text)] * bool(text) + [0] * (len(text) - 1)
    begin = end = 0  # of the match that reaches furthest
    for i in range(1, len(text)):
        if i < end:
            lengths[i] = min(end - i, lengths[i - begin])
        while i + lengths[i] < len(text) and text[lengths[i]] == text[i + lengths[i]]:
            lengths[i] += 1
        if i + lengths[i] > end:
            begin, end = i, i + lengths[i]
    return lengths
