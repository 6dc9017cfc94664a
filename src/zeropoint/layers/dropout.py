"""Dropout: during training, set each element to 0 with probability p and scale the others by 1 / (1 - p).

    y = x * keep / (1 - p),    keep = 1 with probability 1 - p, else 0

Srivastava et al., "Dropout", 2014, in the "inverted" form, which leaves nothing to do at inference. The
random draws come from `fast/dropout.py`.
"""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.errors import BadInput
from zeropoint.layers.fast.dropout import fast_dropout

__all__ = ["Dropout", "dropout"]


class Dropout(nn.Module):
    """Dropout with probability p while training; the identity in eval mode. Like `torch.nn.Dropout`."""

    def __init__(self, p: float) -> None:
        """Raises BadInput unless 0 <= p < 1."""
        super().__init__()
        if not 0 <= p < 1:
            raise BadInput(f"dropout is {p}; expected a probability from 0 to below 1")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x. Draws from torch's default generator."""
        return dropout(x, self.active_p)

    @property
    def active_p(self) -> float:
        """p while training, 0 in eval mode."""
        return self.p if self.training else 0.0


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p (0 to below 1) and divide the others by 1 - p."""
    return x if p == 0 else fast_dropout(x, p)
