"""When a run ends before its last step: time is over, nothing gets better, or the loss runs away."""

from __future__ import annotations

import time
from collections import deque

from zeropoint.errors import MachineError

__all__ = ["Diverged", "Divergence", "Stop"]

_N_LOSSES = 20  # a spike that is over in less is none


class Diverged(MachineError):
    """The loss has left what training began with. Exit code 1."""


class Divergence:
    """Watches the loss of each step."""

    def __init__(self, first_loss: float | None) -> None:
        """first_loss: of the run's first step, None before it."""
        self.first = first_loss
        self.losses: deque[float] = deque(maxlen=_N_LOSSES)

    @property
    def has_diverged(self) -> bool:
        """Whether the last loss is that far above the first; a checkpoint of now would be no good one."""
        return bool(self.losses) and self.losses[-1] >= self._bound()

    def update(self, loss: float) -> str | None:
        """What is wrong, as a part of a sentence, or None.

        Wrong is a mean of the last losses above the first one by half of it, and by one nat at least: a
        model that has learnt nothing yet is at the first loss, and noise does not reach so far.
        """
        self.first = loss if self.first is None else self.first
        self.losses.append(loss)
        mean = sum(self.losses) / len(self.losses)
        if len(self.losses) < _N_LOSSES or mean < self._bound():
            return None
        return f"the loss has been {mean:.4g} for {_N_LOSSES} steps, and was {self.first:.4g} at the start"

    def _bound(self) -> float:
        first = self.first or 0.0
        return first + max(1.0, first / 2)


class Stop:
    """Time and patience. budget_s: seconds from now, or None; patience: worse evaluations, 0 for ever."""

    def __init__(self, budget_s: float | None, patience: int) -> None:
        self.ends = None if budget_s is None else time.monotonic() + budget_s
        self.patience = patience

    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.ends is not None and time.monotonic() >= self.ends

    def is_worse(self, n_worse: int) -> bool:
        """Whether so many evaluations in a row without a better one are enough."""
        return self.patience > 0 and n_worse >= self.patience
