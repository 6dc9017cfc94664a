"""Combine several optimizers, each with its own parameters, into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["Combined"]


class Combined(torch.optim.Optimizer):
    """Share the parts' parameter groups and state, so that schedules and checkpoints see one optimizer."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        for part in parts:
            part.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step with each part."""
        for part in self.parts:
            part.step(closure)
