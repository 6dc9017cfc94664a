"""AdamW: each weight has a rate of its own, by how large its gradients have been.

Kingma and Ba, "Adam", 2015; decay apart from the gradient: Loshchilov and Hutter, "Decoupled Weight Decay
Regularization", 2019. Torch's fused form, one pass over all weights a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from zeropoint.train.optim.groups import decay_groups

__all__ = ["AdamW"]


@dataclass(frozen=True)
class AdamW:
    """learning_rate: the peak, which a schedule takes shares of. betas: how long the mean gradient and mean
    square are remembered. weight_decay: of weights with two axes or more, a step, times the rate."""

    KIND: ClassVar[str] = "adamw"

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.1

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over a model's parameters."""
        groups = decay_groups(model.parameters(), self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, eps=self.eps, fused=True)
