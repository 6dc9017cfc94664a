"""Greedy decoding: always take the most probable token."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from zeropoint.engine.contract import Stepper

__all__ = ["greedy"]


def greedy(
    stepper: Stepper, prompt: Sequence[int], max_tokens: int, stop_ids: Collection[int] = ()
) -> list[int]:
    """Up to max_tokens token ids after the prompt, without the stop token. Ties go to the lowest id."""
    answer: list[int] = []
    ids = list(prompt)
    while len(answer) < max_tokens:
        token = int(np.argmax(stepper.extend(ids)[-1]))
        if token in stop_ids:
            break
        answer.append(token)
        ids = [token]
    return answer
