"""AdamW: per-weight step sizes from running moments of the gradient, with decoupled weight decay.

Kingma and Ba, "Adam", 2015; Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019. Uses
torch's fused implementation, which updates all weights in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from zeropoint.options import option
from zeropoint.train.optim import OptimizerSpec
from zeropoint.train.optim._decay_groups import decay_groups

__all__ = ["AdamW"]


@dataclass(frozen=True)
class AdamW(OptimizerSpec):
    """Adam with decoupled weight decay; biases, gains and other vectors do not decay."""

    learning_rate: float = option(
        1e-3, 0, None, "Peak learning rate, which the schedule multiplies.", is_open=True
    )
    betas: tuple[float, float] = option(
        (0.9, 0.99), 0, 1, "Decay rates of the first and second moment.", is_open_above=True
    )
    eps: float = option(1e-8, 0, None, "Added to the denominator for numerical stability.", is_open=True)
    weight_decay: float = option(
        0.1, 0, None, "Weight decay of matrices, per step and relative to the learning rate."
    )

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The torch optimizer over the trainable parameters of a model."""
        groups = decay_groups(model.named_parameters(), self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=self.betas, eps=self.eps, fused=True)
