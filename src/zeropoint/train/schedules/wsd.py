"""Warmup-stable-decay (Hu et al., "MiniCPM", 2024), with the linear cooldown of Hägele et al., 2024.

Unlike cosine decay, the stable phase does not depend on the length of the run, so a checkpoint from it can be
trained further.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zeropoint.options import MAX_INT, option
from zeropoint.train.schedules import Schedule, linear_warmup

__all__ = ["WSD"]


@dataclass(frozen=True)
class WSD(Schedule):
    """Warm up linearly, stay at the peak rate, then fall linearly to `min_lr_ratio` at step `decay_steps`."""

    warmup_steps: int = option(0, 0, MAX_INT, "Steps of linear warm-up.")
    cooldown_steps: int = option(0, 0, MAX_INT, "Steps of linear decay; 0 is a fifth of decay_steps.")
    min_lr_ratio: float = option(0.0, 0, 1, "Final learning rate, as a fraction of the peak.")
    decay_steps: int = option(
        0, 0, MAX_INT, "Step at which the final rate is reached; 0 is the last step of the run."
    )

    def __call__(self, step: int) -> float:
        """The multiplier of the learning rate at `step`, from 1."""
        if step <= self.warmup_steps:
            return linear_warmup(step, self.warmup_steps)
        n_cooldown = self.cooldown_steps or max(1, self.decay_steps // 5)
        remaining = min(1.0, max(0.0, (self.decay_steps - step) / n_cooldown))
        return self.min_lr_ratio + (1 - self.min_lr_ratio) * remaining

    def for_run(self, n_steps: int, d_model: int) -> WSD:
        """Decay until the last step of the run unless `decay_steps` is set."""
        return replace(self, decay_steps=self.decay_steps or n_steps)
