"""Learned position embeddings: one trained vector per position (Gehring et al., 2017; GPT-2, BERT).

The table limits the context: positions beyond it have no vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.position import Learned
from zeropoint.errors import ContextFull

__all__ = ["LearnedPosition", "embedding"]


class LearnedPosition(nn.Module):
    """A lookup table: weight[position]."""

    def __init__(self, n_positions: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(n_positions, d_model))

    def forward(self, positions_BT: Tensor) -> Tensor:
        """Vectors [B, T, D]. Raises ContextFull for a position beyond the table."""
        n_needed = _n_needed(positions_BT)
        if n_needed > len(self.weight):
            raise ContextFull(
                f"the text has {n_needed} tokens and the model has {len(self.weight)} learned positions; "
                "shorten the text"
            )
        return F.embedding(positions_BT, self.weight)


def _n_needed(positions_BT: Tensor) -> int:
    """How many rows of the table the lookup needs. Compiled code knows only shapes, and has no KV cache."""
    if torch.compiler.is_compiling():
        return positions_BT.shape[-1]
    return int(positions_BT.max()) + 1 if positions_BT.numel() else 0


def embedding(spec: Learned, d_model: int) -> LearnedPosition:
    """The table for a spec."""
    return LearnedPosition(spec.n_positions, d_model)
