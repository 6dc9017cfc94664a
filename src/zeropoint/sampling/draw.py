"""The seeded draw: one token from a row of logits, and one uniform number from a counter.

The uniform number is a function of (seed, position) alone: an answer does not depend on how many
draws were made before, on threads or on what shared its batch. The generator is splitmix64
(Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", figure 17).
The native twins are `native/runtime/sampling/splitmix.hpp` and `sampler.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.sampling.step import Step

__all__ = ["apply_steps", "draw", "sample", "uniform"]

_MASK = 2**64 - 1


def sample(
    steps: Sequence[Step],
    logits_V: NDArray[np.float32],
    history: Sequence[int],
    seed: int,
    position: int,
    n_prompt: int = 0,
) -> int:
    """A token id: all steps, then the draw; -1 where the row has NaN, +inf or nothing finite.

    history: the sequence so far, its first n_prompt tokens the prompt.
    position: index in the sequence of the token to draw.
    """
    if not np.isfinite(logits_V.max(initial=-np.inf)):  # max propagates NaN
        return -1
    return draw(apply_steps(steps, logits_V, history, n_prompt), seed, position)


def apply_steps(
    steps: Sequence[Step], logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0
) -> NDArray[np.float32]:
    """The logits after all steps, in the order given."""
    for step in steps:
        logits_V = step(logits_V, history, n_prompt)
    return logits_V


def draw(logits_V: NDArray[np.float32], seed: int, position: int) -> int:
    """A token id drawn from softmax(logits): the first whose cumulative probability exceeds u.

    Returns -1 where the logits hold NaN or +inf, or rule out every token: the caller raises, naming
    what it was doing.
    """
    row_V = logits_V.astype(np.float64)
    top = row_V.max(initial=-np.inf)
    if not np.isfinite(top):
        return -1
    cumulative_V = np.cumsum(np.exp(row_V - top))
    target = uniform(seed, position) * cumulative_V[-1]
    return int(np.searchsorted(cumulative_V, target, side="right"))


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits, from output number `position` of splitmix64(seed)."""
    return (splitmix64(seed, position) >> 11) * 2.0**-53


def splitmix64(seed: int, position: int) -> int:
    """Output number `position` (from 0) of the generator seeded with `seed`: 64 bits."""
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
