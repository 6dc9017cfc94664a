"""Sinusoidal positions (Vaswani et al., "Attention Is All You Need", 2017, section 3.5).

    PE(p, 2i) = sin(p / 10000^(2i/D)),  PE(p, 2i+1) = cos(p / 10000^(2i/D))

Each pair of columns is like the hand of a clock, from fast to slow. For a fixed shift k, PE(p + k) is PE(p)
with every hand turned by a constant angle: a linear map that does not depend on p.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from zeropoint.blueprint.parts.position import Sinusoidal

__all__ = ["embedding", "sinusoids"]


def sinusoids(positions_BT: Tensor, d_model: int) -> Tensor:
    """The position vectors: [B, T, D]."""
    # float64, because rounding the frequencies before multiplying shifts late positions by a visible angle.
    even = torch.arange(0, d_model, 2, device=positions_BT.device, dtype=torch.float64)
    frequencies = torch.exp(even * (-math.log(10000.0) / d_model))
    angles = positions_BT[..., None] * frequencies
    pairs = torch.stack([angles.sin(), angles.cos()], dim=-1)
    return pairs.flatten(-2)[..., :d_model].to(torch.get_default_dtype())


def embedding(spec: Sinusoidal, d_model: int) -> Callable[[Tensor], Tensor]:
    """`sinusoids` of this width."""
    return partial(sinusoids, d_model=d_model)
