"""Speculative decoding in 20 lines: the readable reference, over a `Stepper` of any engine.

Leviathan, Kalman and Matias, "Fast inference from transformers via speculative decoding", 2023; Chen et al.,
"Accelerating large language model decoding with speculative sampling", 2023. The engines do the same for many
requests at once (`Engine.steer`); tests hold them to this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.decoding.decoded import Decoded
from zeropoint.decoding.drafter import Drafter
from zeropoint.engine.contract import Stepper

__all__ = ["decode"]


def decode(
    stepper: Stepper,
    drafter: Drafter,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    n_guesses: int = 4,
    choose: Callable[[NDArray[np.float32], int], int] = lambda logits_V, position: int(np.argmax(logits_V)),
) -> Decoded:
    """Up to max_tokens token ids after the prompt.

    choose: the token at a position of the text from logits [V]; greedy by default. A guess is accepted if it
    is the token chosen in its place, so the answer is that of plain decoding, whatever the drafter.
    """
    text, unread, n_passes, n_rows = list(prompt), list(prompt), 0, 0
    drafter.extend(prompt)
    while len(text) < len(prompt) + max_tokens:
        guesses = list(drafter.propose(min(n_guesses, len(prompt) + max_tokens - len(text) - 1)).tokens)
        logits_TV = stepper.extend(unread + guesses)[-len(guesses) - 1 :]
        n_passes, n_rows = n_passes + 1, n_rows + len(unread) + len(guesses)
        unread = []
        for row, logits_V in enumerate(logits_TV):
            unread = [choose(logits_V, len(text))]
            text += unread
            drafter.extend(unread)
            if row == len(guesses) or unread[0] != guesses[row]:
                stepper.rollback(len(guesses) - row)
                break
    return Decoded(text[len(prompt) :], n_passes, n_rows)
