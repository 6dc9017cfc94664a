"""Gradient clipping by global norm (Pascanu et al., "On the difficulty of training RNNs", 2013)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from zeropoint.train.distributed.dtensor import full_tensor

__all__ = ["clip_gradients"]


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float | None) -> float:
    """Scale all gradients so that their global norm is at most `max_norm`; return the norm before scaling.

    max_norm: None only measures the norm.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    norm = float(full_tensor(torch.nn.utils.get_total_norm(gradients)))
    if max_norm is not None and norm > max_norm:
        torch._foreach_mul_(gradients, max_norm / (norm + 1e-6))  # 1e-6 as in torch's clip_grad_norm_
    return norm
