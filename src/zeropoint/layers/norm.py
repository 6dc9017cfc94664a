"""Norms: they keep the numbers a part reads at one size, whatever the residual stream has grown to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts import norm as specs

__all__ = ["LayerNorm", "RMSNorm", "norm"]


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * gain, over the last axis (Zhang and Sennrich, 2019).

    weight: the gain; or gain - 1 where the spec says so (Gemma), so that weight decay pulls towards 1.
    """

    def __init__(self, spec: specs.RMSNorm, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.zeros(width) if spec.is_offset else torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape. The mean is taken in float32, since squares overflow in half precision."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.spec.eps)
        gain = 1 + self.weight if self.spec.is_offset else self.weight
        return (scaled * gain).type_as(x)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) * gain + bias, over the last axis (Ba et al., 2016)."""

    def __init__(self, spec: specs.LayerNorm, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if spec.has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.spec.eps)


def norm(spec: specs.Norm | None, width: int) -> nn.Module:
    """The layer of a spec, `width` numbers wide; the identity for None."""
    match spec:
        case None:
            return nn.Identity()
        case specs.RMSNorm():
            return RMSNorm(spec, width)
        case _:
            return LayerNorm(spec, width)
