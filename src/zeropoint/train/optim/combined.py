"""Several optimizers as one: each has its own parameters, a step is a step of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["Together"]


class Together(torch.optim.Optimizer):
    """Groups and state are those of the parts, so a schedule or a checkpoint sees one optimizer."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        for part in parts:
            part.state = self.state

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step of each part."""
        for part in self.parts:
            part.step(closure)
