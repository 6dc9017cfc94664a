"""Dropout for CPUs: one 64-bit random number decides four elements, with 16 bits each.

`torch.nn.functional.dropout` draws one random number per element on a CPU, one after the other, which takes a
tenth of the time of training a small model. On other devices, and in compiled code, torch's version is fast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fast_dropout"]

_N_LEVELS = 1 << 16  # values of 16 bits


def fast_dropout(x: Tensor, p: float) -> Tensor:
    """Dropout of x with 0 < p < 1; on a CPU, p is rounded to the nearest of 65,536 levels."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p)
    n_dropped = min(round(p * _N_LEVELS), _N_LEVELS - 1)
    is_kept = _random_int16(x.shape) >= n_dropped - _N_LEVELS // 2
    return x * is_kept * (_N_LEVELS / (_N_LEVELS - n_dropped))


def _random_int16(shape: torch.Size) -> Tensor:
    """Uniform over all int16 values."""
    n = shape.numel()
    groups_of_four = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    return groups_of_four.view(torch.int16)[:n].view(shape)
