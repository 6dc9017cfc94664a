"""Threshold decoding: take a draft model's token unverified where it is confident. Lossy: answers change.

Theia Vogel, "How to make LLMs go fast", 2023, "Threshold decoding". The large model is asked only where the
small one is unsure, and then reads all tokens since its last turn in one pass. Nothing bounds the damage of a
token that was confident and wrong; speculative decoding (`speculative.py`) verifies instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeropoint.decoding.decoded import Decoded
from zeropoint.engine.contract import Stepper

__all__ = ["decode"]


def decode(
    stepper: Stepper, draft: Stepper, prompt: Sequence[int], max_tokens: int, *, threshold: float = 0.9
) -> Decoded:
    """Up to max_tokens token ids after the prompt, greedy. The counts are those of the large model.

    threshold: the probability from which the draft's token stands; 1 and more always asks the large model.
    """
    text, n_draft_read, n_read, n_passes = list(prompt), 0, 0, 0
    while len(text) < len(prompt) + max_tokens:
        logits_V = draft.extend(text[n_draft_read:])[-1]
        n_draft_read = len(text)
        token = int(np.argmax(logits_V))
        if 1 / np.exp(logits_V - logits_V[token]).sum() < threshold:
            token = int(np.argmax(stepper.extend(text[n_read:])[-1]))
            n_read, n_passes = len(text), n_passes + 1
        text.append(token)
    return Decoded(text[len(prompt) :], n_passes, n_read)
