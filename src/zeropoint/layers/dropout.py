"""Dropout: while training each number is lost with a probability, the others grow to make up for it.

Srivastava et al., "Dropout", 2014, in the form that leaves nothing to do after training ("inverted"). As
`torch.nn.Dropout`, which on a CPU draws a number of its own for each, one after the other, and takes a tenth
of the time of training a small model. Here one 64-bit draw decides four times, by sixteen bits each; a pass
that is compiled draws in a way of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.errors import BadInput

__all__ = ["Dropout", "dropped"]

_N_LEVELS = 1 << 16  # of sixteen bits


class Dropout(nn.Module):
    """x with each number either 0, with probability p, or divided by 1 - p; while training only."""

    def __init__(self, p: float) -> None:
        """p: on a CPU taken to the nearest of 65,536 levels. Raises BadInput outside 0 to below 1."""
        super().__init__()
        if not 0 <= p < 1:
            raise BadInput(f"dropout is {p}; expected a probability from 0 to below 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The same shape. Draws from torch's generator."""
        return dropped(x, self.now)

    @property
    def now(self) -> float:
        """The probability that holds: p while training, else 0."""
        return self.p if self.training else 0.0


def dropped(x: Tensor, p: float) -> Tensor:
    """x with each number either 0, with probability p (0 to below 1), or divided by 1 - p."""
    if p == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p)
    n_lost = min(round(p * _N_LEVELS), _N_LEVELS - 1)
    is_kept = _draw(x.shape) >= n_lost - _N_LEVELS // 2
    return x * is_kept * (_N_LEVELS / (_N_LEVELS - n_lost))


def _draw(shape: torch.Size) -> Tensor:
    """Uniform over all sixteen-bit numbers, signed: int16 of that shape."""
    n = shape.numel()
    of_four = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    return of_four.view(torch.int16)[:n].view(shape)
