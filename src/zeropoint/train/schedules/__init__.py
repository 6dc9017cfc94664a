"""Learning-rate schedules, one per file; the file's name is `schedule.kind` in a configuration.

`Schedule` below is the contract. To add one, write a frozen dataclass that derives from it in a new file of
this folder. Read `constant` first (warm-up only), then `cosine`, `wsd` and `noam`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

__all__ = ["Schedule", "linear_warmup"]


class Schedule(ABC):
    """The learning rate over a run. Subclasses are frozen dataclasses with `option` fields.

    A schedule returns a multiplier of the optimizer's own rate, `learning_rate * schedule(step)`, so that
    optimizers with several rates keep their proportions. Steps count from 1.
    """

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The multiplier of the learning rate at `step`."""

    def for_run(self, n_steps: int, d_model: int) -> Self:
        """A copy whose unset fields (0) take their values from the run. d_model: width of the model."""
        return self


def linear_warmup(step: int, warmup_steps: int) -> float:
    """Rise by 1 / (warmup_steps + 1) per step: the first step after warm-up is at 1 (as in nanoGPT)."""
    return 1.0 if step > warmup_steps else max(step, 1) / (warmup_steps + 1)
