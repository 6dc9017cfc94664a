"""A reversible block recovers its inputs from its outputs."""

from __future__ import annotations

import torch
from torch import nn

from zeropoint.layers.depth.reversible import Reversible
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The largest error of the recovered inputs, float32, through eight blocks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        blocks = [
            Reversible(nn.Linear(64, 64), nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)))
            for _ in range(8)
        ]
        x1, x2 = torch.randn(2, 16, 64)
    with torch.no_grad():
        y1, y2 = x1, x2
        for block in blocks:
            y1, y2 = block(y1, y2)
        for block in reversed(blocks):
            y1, y2 = block.inverse(y1, y2)
    return max(float((y1 - x1).abs().max()), float((y2 - x2).abs().max()))


CLAIM = Claim(
    number="24",
    description="reversible blocks: largest error of inputs recovered from outputs (float32, 8 blocks)",
    published=0.0,
    tolerance=1e-5,
    source='Kitaev et al., "Reformer", 2020; Weng, "The Transformer Family v2.0", 2023',
    explained_by="python -m pydoc zeropoint.layers.depth.reversible",
    compute=compute,
)
