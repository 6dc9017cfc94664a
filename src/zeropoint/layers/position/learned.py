"""Learned positions: one vector for each, trained like the rest (Gehring et al., 2017; GPT-2, BERT).

Nothing is known of positions beyond the table.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.position import Learned
from zeropoint.errors import ContextFull

__all__ = ["LearnedPosition", "vectors"]


class LearnedPosition(nn.Module):
    """weight[position]."""

    def __init__(self, n_positions: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(n_positions, d_model))

    def forward(self, positions_BT: Tensor) -> Tensor:
        """Vectors [B, T, D]. Raises ContextFull beyond the table."""
        n_needed = _n_needed(positions_BT)
        if n_needed > len(self.weight):
            raise ContextFull(
                f"the text has {n_needed} tokens and the model knows {len(self.weight)} positions; shorten it"
            )
        return F.embedding(positions_BT, self.weight)


def _n_needed(positions_BT: Tensor) -> int:
    """Rows of the table that are looked up. A compiled pass knows shapes alone, and has no cache."""
    if torch.compiler.is_compiling():
        return positions_BT.shape[-1]
    return int(positions_BT.max()) + 1 if positions_BT.numel() else 0


def vectors(spec: Learned, d_model: int) -> LearnedPosition:
    """The table of a spec."""
    return LearnedPosition(spec.n_positions, d_model)
