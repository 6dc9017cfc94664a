"""A draft model: a smaller model guesses the next tokens, and the large one verifies them in one pass.

Leviathan, Kalman and Matias, "Fast inference from transformers via speculative decoding", 2023; Chen et al.,
2023. It may be any model with the same vocabulary, or the first layers of the large one (Zhang et al., "Draft
& verify: lossless large language model acceleration via self-speculative decoding", 2024). A second stage
guesses for the draft model what it repeats (Spector and Ré, "Accelerating LLM inference with staged
speculative decoding", 2023): such guesses cost the draft model one pass together.

The draft is sampled with the random numbers of the answer itself. Where the two models agree on the
probabilities, the same number gives the same token, so sampled answers accept about as many guesses as greedy
ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zeropoint.decoding.drafter import MODEL_MATCH, Draft, Drafter
from zeropoint.decoding.drafters.prompt_lookup import PromptLookup
from zeropoint.engine.contract import Stepper
from zeropoint.errors import ContextFull

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Choose", "DraftModel"]

Choose = Callable[["NDArray[np.float32]", Sequence[int]], int]
"""The token after a text, from its logits [V]; the text is given as token ids."""

_READ_AT_ONCE = 256  # tokens of the text, so that reading a long prompt does not hold up other answers
_STAGE_GUESSES = 4
_MIN_CONFIDENCE = 0.4  # a less probable guess ends the draft: it would probably be verified in vain
_SMOOTHING = 0.2  # weight of a new measurement of the time per guess


class DraftModel(Drafter):
    """Guesses with a model of its own. second_stage: whether to guess for it what the text repeats.

    choose: how the answer's tokens are chosen, so that the draft chooses alike.
    """

    def __init__(self, stepper: Stepper, choose: Choose, *, second_stage: bool = True) -> None:
        self.is_free, self.seconds_per_guess = False, 0.0
        self._stepper, self._choose = stepper, choose
        self._text: list[int] = []
        self._read: list[int] = []  # what the draft model has read: the text, and guesses after it
        self._n_same = 0  # how much of that is certainly the text
        self._second = PromptLookup() if second_stage else None

    def extend(self, ids: Sequence[int]) -> None:
        """Append tokens; they are read before the next guess."""
        self._text += ids
        if self._second is not None:
            self._second.extend(ids)

    def propose(self, n: int) -> Draft:
        """Up to n guesses, fewer where the draft model is unsure. None while it still reads a long text."""
        if n < 1:
            return Draft()
        try:
            unread = self._catch_up()
            return Draft(self._guess(unread, n), MODEL_MATCH) if unread else Draft()
        except ContextFull:  # the draft model has a shorter context
            return Draft()

    def close(self) -> None:
        """Free the cache of the draft model."""
        self._stepper.close()

    def _catch_up(self) -> list[int]:
        """Drop guesses that were wrong; the last tokens of the text, still to be read, once only few are."""
        same = self._n_same
        while same < min(len(self._read), len(self._text)) and self._read[same] == self._text[same]:
            same += 1
        if len(self._read) > same:
            self._stepper.rollback(len(self._read) - same)
            del self._read[same:]
        if same == len(self._text) > 0:  # the text ends with what was read: its logits are needed again
            self._stepper.rollback(1)
            del self._read[-1:]
        n_unread = len(self._text) - len(self._read)
        if n_unread > _STAGE_GUESSES:
            part = self._text[len(self._read) : len(self._read) + min(n_unread - 1, _READ_AT_ONCE)]
            self._stepper.read(part)
            self._read += part
        self._n_same = len(self._read)
        unread = self._text[len(self._read) :]
        return unread if len(unread) <= _STAGE_GUESSES else []

    def _guess(self, unread: list[int], n: int) -> list[int]:
        start, tokens = time.perf_counter(), list[int]()
        is_sure = True
        while len(tokens) < n and is_sure:
            inner = self._inner_guesses(tokens, n)
            rows = self._stepper.extend(unread + inner)[-len(inner) - 1 :]
            self._read += unread + inner
            for row, logits_V in enumerate(rows):
                token = self._choose(logits_V, self._text + tokens)
                is_sure = _confidence(logits_V, token) >= _MIN_CONFIDENCE
                tokens.append(token)
                if not is_sure or row == len(inner) or token != inner[row]:
                    n_wrong = len(inner) - row
                    self._stepper.rollback(n_wrong)
                    del self._read[len(self._read) - n_wrong :]
                    break
            unread = tokens[-1:]
        each = (time.perf_counter() - start) / len(tokens)
        rate = _SMOOTHING if self.seconds_per_guess else 1.0
        self.seconds_per_guess += rate * (each - self.seconds_per_guess)
        return tokens[:n] if is_sure else tokens[:-1]

    def _inner_guesses(self, tokens: list[int], n: int) -> list[int]:
        if self._second is None:
            return []
        n_wanted = min(_STAGE_GUESSES, n - len(tokens) - 1)
        return list(self._second.propose_after(tokens, n_wanted).tokens) if n_wanted > 0 else []


def _confidence(logits_V: NDArray[np.float32], token: int) -> float:
    """The probability of a token."""
    import numpy as np

    return float(1 / np.exp(np.clip(logits_V - logits_V[token], -80, 80)).sum())
