"""How the residual stream is scaled before a part reads it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RMSNorm"]


@dataclass(frozen=True)
class RMSNorm:
    """x / sqrt(mean(x^2) + eps) * gain (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019)."""

    eps: float
