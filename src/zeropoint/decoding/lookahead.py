"""Lookahead decoding: the model guesses several tokens at once, and its own guesses become n-grams to verify.

A pass over a window of guesses gives, for each, the token that follows. These are the next guesses: Jacobi's
iteration for a system of equations, which fixes at least one more token in every pass (Santilli et al.,
"Accelerating transformer inference for translation via parallel decoding", 2023). What it passes through on
the way is not thrown away: n-grams of it are kept, and verified where their first token comes up again (Fu et
al., "Break the sequential dependency of LLM inference using lookahead decoding", 2024).

No draft model and no repetition in the text are needed, but every row must be almost free, as on a GPU: on a
processor the window costs more than it gains, so this is a method to read, not the default. Fu et al. keep
several iterations in one pass with a mask of their own; here there is one, which needs no mask.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import numpy as np

from zeropoint.decoding.decoded import Decoded
from zeropoint.engine.contract import Stepper

__all__ = ["decode"]

_MAX_PER_TOKEN = 16  # n-grams kept for each first token


def decode(
    stepper: Stepper, prompt: Sequence[int], max_tokens: int, *, n_window: int = 8, n_gram: int = 4
) -> Decoded:
    """Up to max_tokens token ids after the prompt: those of greedy decoding, in fewer passes.

    n_window: guesses that a pass works on. n_gram: tokens of the n-grams that are kept.
    """
    text, unread = list(prompt), list(prompt)
    window = [prompt[-1]] * n_window  # any start will do
    pool: defaultdict[int, deque[tuple[int, ...]]] = defaultdict(lambda: deque(maxlen=_MAX_PER_TOKEN))
    n_passes = n_rows = 0
    while len(text) < len(prompt) + max_tokens:
        candidate = next(reversed(pool[text[-1]]), ()) if n_passes else ()
        guesses = [*candidate, *window[len(candidate) :]]
        guesses = guesses[: len(prompt) + max_tokens - len(text) - 1]
        rows = stepper.extend(unread + guesses)[-len(guesses) - 1 :]
        n_passes, n_rows = n_passes + 1, n_rows + len(unread) + len(guesses)
        chosen = [int(token) for token in np.argmax(rows, axis=-1)]
        n_right = next((i for i, g in enumerate(guesses) if g != chosen[i]), len(guesses))
        text += chosen[: n_right + 1]
        unread = chosen[n_right : n_right + 1]
        stepper.rollback(len(guesses) - n_right)
        for i in range(len(chosen) - n_gram + 1):
            pool[chosen[i]].append(tuple(chosen[i + 1 : i + n_gram]))
        # The iteration goes on with what follows the guesses, behind the tokens that are now certain.
        rest = chosen[n_right + 1 :]
        window = [*rest, *[chosen[-1]] * n_window][:n_window]
    return Decoded(text[len(prompt) :], n_passes, n_rows)
