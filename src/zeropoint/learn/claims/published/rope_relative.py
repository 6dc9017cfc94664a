"""RoPE: a score depends on the distance between two tokens, not on their positions."""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.blueprint.parts.position import Rope
from zeropoint.layers.position.rope import rotate
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The largest change of q_m . k_n when both positions shift equally, for both pair layouts."""
    generator = torch.Generator().manual_seed(0)
    q_K, k_K = torch.randn(2, 64, generator=generator, dtype=torch.float64)
    worst = 0.0
    for is_interleaved in (False, True):
        rope = Rope(10000.0, 64, is_interleaved=is_interleaved)
        for distance in (0, 1, 7, 100):
            scores = [
                float(_rotated(rope, q_K, m) @ _rotated(rope, k_K, m + distance)) for m in range(0, 1000, 50)
            ]
            worst = max(worst, max(scores) - min(scores))
    return worst


def _rotated(rope: Rope, x_K: Tensor, position: int) -> Tensor:
    angles = position * torch.tensor(rope.frequencies(), dtype=torch.float64)
    return rotate(x_K, angles.cos(), angles.sin(), rope.is_interleaved)


CLAIM = Claim(
    number="15a",
    description="RoPE: largest change of q_m . k_n at equal distance n - m",
    published=0.0,
    tolerance=1e-6,
    source='Su et al., "RoFormer", 2021, section 3.4; Kitano, "Llama from scratch", 2023',
    explained_by="python -m pydoc zeropoint.layers.position.rope",
    compute=compute,
)
