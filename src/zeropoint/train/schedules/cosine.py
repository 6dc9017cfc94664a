"""Cosine decay after a linear warm-up (Loshchilov and Hutter, "SGDR", 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from zeropoint.options import MAX_INT, option
from zeropoint.train.schedules import Schedule, linear_warmup

__all__ = ["Cosine"]


@dataclass(frozen=True)
class Cosine(Schedule):
    """Warm up linearly, fall along half a cosine to `min_lr_ratio` at step `decay_steps`, then stay there.

    nanoGPT's `get_lr(it)` counts iterations from 0 and reaches `min_lr` at `it = lr_decay_iters`, which is
    step `lr_decay_iters + 1` here: its schedule is `Cosine(decay_steps=lr_decay_iters + 1)`, with
    `min_lr_ratio = min_lr / learning_rate`.
    """

    warmup_steps: int = option(0, 0, MAX_INT, "Steps of linear warm-up.")
    min_lr_ratio: float = option(0.1, 0, 1, "Final learning rate, as a fraction of the peak.")
    decay_steps: int = option(
        0, 0, MAX_INT, "Step at which the final rate is reached; 0 is the last step of the run."
    )

    def __call__(self, step: int) -> float:
        """The multiplier of the learning rate at `step`, from 1."""
        if step <= self.warmup_steps:
            return linear_warmup(step, self.warmup_steps)
        if step >= self.decay_steps:
            return self.min_lr_ratio
        peak_step = self.warmup_steps + 1
        progress = (step - peak_step) / (self.decay_steps - peak_step)
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * 0.5 * (1 + math.cos(math.pi * progress))

    def for_run(self, n_steps: int, d_model: int) -> Cosine:
        """Decay until the last step of the run unless `decay_steps` is set."""
        return replace(self, decay_steps=self.decay_steps or n_steps)
