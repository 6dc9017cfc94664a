"""Noam schedule: linear warm-up, then inverse square-root decay (Vaswani et al., 2017, equation 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from zeropoint.options import MAX_INT, option
from zeropoint.train.schedules import Schedule

__all__ = ["Noam"]


@dataclass(frozen=True)
class Noam(Schedule):
    """Warm up linearly until `warmup_steps`, then decay with the inverse square root of the step.

    factor * d_model^-0.5 * min(step^-0.5, step * warmup_steps^-1.5). This is the learning rate itself: use it
    with an optimizer whose `learning_rate` is 1.
    """

    d_model: int = option(0, 0, MAX_INT, "Width in the formula; 0 is the model's d_model.")
    warmup_steps: int = option(4000, 1, MAX_INT, "Steps of linear warm-up; the rate peaks at this step.")
    factor: float = option(1.0, 0, None, "Multiplier of the formula.", is_open=True)

    def __call__(self, step: int) -> float:
        """The multiplier of the learning rate at `step`, from 1; step 0 returns that of step 1."""
        step = max(step, 1)
        return float(self.factor * self.d_model**-0.5 * min(step**-0.5, step * self.warmup_steps**-1.5))

    def for_run(self, n_steps: int, d_model: int) -> Noam:
        """Use the model's width unless `d_model` is set."""
        return replace(self, d_model=self.d_model or d_model)
