"""Draw a token from logits with a counter-based random number.

The random number depends only on (seed, position), so a generated text does not depend on earlier draws, on
threads or on other sequences in the batch. The generator is splitmix64 (Steele, Lea, Flood, "Fast splittable
pseudorandom number generators", 2014, figure 17). The native versions are
`native/runtime/sampling/splitmix.hpp` and `sampler.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.sampling.step import Step

__all__ = ["Sampler", "apply_steps", "draw", "sample", "uniform"]

_MASK = 2**64 - 1


class Sampler:
    """Applies steps and draws tokens for one answer."""

    def __init__(self, steps: Sequence[Step], seed: int) -> None:
        self._steps = [step.start() for step in steps]
        self._seed = seed

    def sample(
        self, logits_V: NDArray[np.float32], history: Sequence[int], position: int, n_prompt: int = 0
    ) -> int:
        """Apply all steps, then draw a token id; -1 if the logits have NaN, +inf or no finite value.

        history: token ids of the sequence so far, of which the first n_prompt are the prompt.
        position: index in the sequence of the token to draw.
        """
        if not np.isfinite(logits_V.max(initial=-np.inf)):  # max propagates NaN
            return -1
        for step in self._steps:
            logits_V = step(logits_V, history, n_prompt, self._seed)
        token = draw(logits_V, self._seed, position)
        if token >= 0:
            for step in self._steps:
                step.observe(logits_V, token)
        return token


def sample(
    steps: Sequence[Step],
    logits_V: NDArray[np.float32],
    history: Sequence[int],
    seed: int,
    position: int,
    n_prompt: int = 0,
) -> int:
    """The first token of a `Sampler`."""
    return Sampler(steps, seed).sample(logits_V, history, position, n_prompt)


def apply_steps(
    steps: Sequence[Step],
    logits_V: NDArray[np.float32],
    history: Sequence[int],
    n_prompt: int = 0,
    seed: int = 0,
) -> NDArray[np.float32]:
    """The logits after all steps, applied in the given order."""
    for step in steps:
        logits_V = step(logits_V, history, n_prompt, seed)
    return logits_V


def draw(logits_V: NDArray[np.float32], seed: int, position: int) -> int:
    """Draw a token id from softmax(logits): the first whose cumulative probability exceeds `uniform`.

    Returns -1 if the logits have NaN or +inf, or exclude every token; the caller raises an error with
    context.
    """
    row_V = logits_V.astype(np.float64)
    maximum = row_V.max(initial=-np.inf)
    if not np.isfinite(maximum):
        return -1
    cumulative_V = np.cumsum(np.exp(row_V - maximum))
    target = uniform(seed, position) * cumulative_V[-1]
    return int(np.searchsorted(cumulative_V, target, side="right"))


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) with 53 random bits: output `position` of splitmix64(seed)."""
    return (splitmix64(seed, position) >> 11) * 2.0**-53


def splitmix64(seed: int, position: int) -> int:
    """Output `position` (from 0) of the generator with this seed: 64 bits."""
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
