"""Stop a run before its last step: early stopping, the time budget, and divergence of the loss."""

from __future__ import annotations

import time
from collections import deque

from zeropoint.errors import MachineError

__all__ = ["Diverged", "DivergenceDetector", "EarlyStopping"]

_WINDOW = 20  # losses; shorter spikes do not count as divergence


class Diverged(MachineError):
    """The loss has risen far above its initial value. Exit code 1."""


class DivergenceDetector:
    """Detects a loss that stays far above that of the first step."""

    def __init__(self, first_loss: float | None) -> None:
        """first_loss: loss of the run's first step, or None before it."""
        self.first = first_loss
        self.losses: deque[float] = deque(maxlen=_WINDOW)

    @property
    def has_diverged(self) -> bool:
        """Whether the last loss is above the limit; a checkpoint taken now would not be useful."""
        return bool(self.losses) and self.losses[-1] >= self._limit()

    def update(self, loss: float) -> str | None:
        """Record a loss. Returns the problem, as a clause, if the mean of the last losses exceeds the limit.

        The limit is 1.5 times the first loss, and at least one nat above it. An untrained model is at the
        first loss, and noise does not reach that far.
        """
        self.first = loss if self.first is None else self.first
        self.losses.append(loss)
        mean = sum(self.losses) / len(self.losses)
        if len(self.losses) < _WINDOW or mean < self._limit():
            return None
        return f"the loss diverged: its mean over {_WINDOW} steps is {mean:.4g}, up from {self.first:.4g}"

    def _limit(self) -> float:
        first = self.first or 0.0
        return first + max(1.0, first / 2)


class EarlyStopping:
    """The time budget and the patience of a run.

    budget_s: seconds from now, or None. patience: evaluations in a row without improvement; 0 is unlimited.
    """

    def __init__(self, budget_s: float | None, patience: int) -> None:
        self.deadline = None if budget_s is None else time.monotonic() + budget_s
        self.patience = patience

    def is_out_of_time(self) -> bool:
        """Whether the time budget is spent."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def is_out_of_patience(self, n_worse: int) -> bool:
        """Whether `n_worse` evaluations in a row without a new best loss end the run."""
        return self.patience > 0 and n_worse >= self.patience
