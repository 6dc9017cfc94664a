"""Constant learning rate after a linear warm-up."""

from __future__ import annotations

from dataclasses import dataclass

from zeropoint.options import MAX_INT, option
from zeropoint.train.schedules import Schedule, linear_warmup

__all__ = ["Constant"]


@dataclass(frozen=True)
class Constant(Schedule):
    """Rise linearly for `warmup_steps`, then stay at the peak rate."""

    warmup_steps: int = option(0, 0, MAX_INT, "Steps of linear warm-up.")

    def __call__(self, step: int) -> float:
        """The multiplier of the learning rate at `step`, from 1."""
        return linear_warmup(step, self.warmup_steps)
