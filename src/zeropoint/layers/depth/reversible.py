"""Reversible block: its inputs can be recomputed from its outputs, so training need not store them.

    y1 = x1 + F(x2),  y2 = x2 + G(y1)      inverse:  x2 = y2 - G(y1),  x1 = y1 - F(x2)

Gomez et al., "The Reversible Residual Network", 2017; Kitaev et al., "Reformer", 2020, section 3, where F is
attention and G the feed-forward network.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Reversible"]


class Reversible(nn.Module):
    """Two residual streams, each updated by a function of the other. F and G are any modules."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs (y1, y2), in the shapes of the inputs."""
        y1 = x1 + self.first(x2)
        return y1, x2 + self.second(y1)

    def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs (x1, x2) that produced these outputs, up to rounding."""
        x2 = y2 - self.second(y1)
        return y1 - self.first(x2), x2
