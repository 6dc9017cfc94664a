"""Take the likeliest token, again and again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from zeropoint.engine.contract import Stepper

__all__ = ["greedy"]


def greedy(stepper: Stepper, prompt: Sequence[int], n_new: int, stop_ids: Collection[int] = ()) -> list[int]:
    """Up to n_new tokens after prompt, without the stop token that ends them. Of equals, the lowest id."""
    answer: list[int] = []
    ids = list(prompt)
    while len(answer) < n_new:
        token = int(np.argmax(stepper.extend(ids)[-1]))
        if token in stop_ids:
            break
        answer.append(token)
        ids = [token]
    return answer
