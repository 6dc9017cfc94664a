"""How the learning rate changes from step to step.

A schedule gives the share of the optimizer's own rate that a step takes: `rate(step) = learning_rate *
schedule(step)`, so that optimizers with several rates keep their proportions. Steps count from 1. Every
schedule but Noam's first goes up in a line over `warmup_steps`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["WSD", "Constant", "Cosine", "Noam", "Schedule"]


@dataclass(frozen=True)
class Constant:
    """Always 1, after warm-up."""

    warmup_steps: int = 0

    def __call__(self, step: int) -> float:
        """The share of step `step`."""
        return _warmup(step, self.warmup_steps)


@dataclass(frozen=True)
class Cosine:
    """Down half a cosine to the share `final`, which is reached at decay_steps (0: the last step of the run).

    Loshchilov and Hutter, "SGDR", 2017; as nanoGPT has it, where final is min_lr / learning_rate.
    """

    warmup_steps: int = 0
    final: float = 0.1
    decay_steps: int = 0

    def __call__(self, step: int) -> float:
        """The share of step `step`; after decay_steps it stays at `final`."""
        if step <= self.warmup_steps:
            return _warmup(step, self.warmup_steps)
        done = (step - 1 - self.warmup_steps) / max(1, self.decay_steps - self.warmup_steps)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


@dataclass(frozen=True)
class WSD:
    """Warm-up, stable, decay: 1 until the last cooldown_steps, then in a line to `final`.

    Hu et al., "MiniCPM", 2024; the line: Hägele et al., 2024. The stable part can be gone on with later.
    decay_steps: where it ends (0: the last step of the run). cooldown_steps: 0 is a fifth of that.
    """

    warmup_steps: int = 0
    cooldown_steps: int = 0
    final: float = 0.0
    decay_steps: int = 0

    def __call__(self, step: int) -> float:
        """The share of step `step`."""
        if step <= self.warmup_steps:
            return _warmup(step, self.warmup_steps)
        n_down = self.cooldown_steps or max(1, self.decay_steps // 5)
        left = min(1.0, max(0.0, (self.decay_steps + 1 - step) / n_down))
        return self.final + (1 - self.final) * left


@dataclass(frozen=True)
class Noam:
    """factor * d_model^-0.5 * min(step^-0.5, step * n_warmup^-1.5): up in a line, down with the root.

    Vaswani et al., "Attention Is All You Need", 2017, equation 3. The peak is at n_warmup. d_model: 0, in a
    configuration, is the model's. The paper's rate itself is that of an optimizer whose learning_rate is 1.
    """

    d_model: int = 0
    n_warmup: int = 4000
    factor: float = 1.0

    def __call__(self, step: int) -> float:
        """The share of a step, counted from 1; step 0 has that of step 1."""
        step = max(step, 1)
        return float(self.factor * self.d_model**-0.5 * min(step**-0.5, step * self.n_warmup**-1.5))


Schedule = Constant | Cosine | WSD | Noam


def _warmup(step: int, n_steps: int) -> float:
    """Up by n + 1 equal steps, so that the step after warm-up is the first at 1, as in nanoGPT."""
    return 1.0 if step > n_steps else max(step, 1) / (n_steps + 1)
