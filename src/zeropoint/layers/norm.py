"""Normalization layers: rescale each token's vector, so that a sublayer reads numbers of a constant size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts import norm as specs

__all__ = ["LayerNorm", "RMSNorm", "norm"]


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * gain, over the last axis (Zhang and Sennrich, 2019).

    weight: the gain; or gain - 1 if spec.is_offset (Gemma), so that weight decay pulls the gain towards 1;
    None for no gain.
    """

    def __init__(self, spec: specs.RMSNorm, width: int) -> None:
        super().__init__()
        self.spec, self.width = spec, width
        initial = torch.zeros(width) if spec.is_offset else torch.ones(width)
        self.weight = nn.Parameter(initial) if spec.has_gain else None

    def forward(self, x: Tensor) -> Tensor:
        """Same shape. Computed in float32, because squares overflow in half precision."""
        x32 = x.float()
        normalized = x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + self.spec.eps)
        if self.weight is not None:
            normalized = normalized * (1 + self.weight if self.spec.is_offset else self.weight)
        return normalized.type_as(x)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + eps) * gain + bias, over the last axis (Ba et al., 2016)."""

    def __init__(self, spec: specs.LayerNorm, width: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if spec.has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.spec.eps)


def norm(spec: specs.Norm | None, width: int) -> nn.Module:
    """The layer for a spec, for vectors of `width` numbers; the identity for None."""
    match spec:
        case None:
            return nn.Identity()
        case specs.RMSNorm():
            return RMSNorm(spec, width)
        case _:
            return LayerNorm(spec, width)
