"""T5's relative position bias: a learned number per head and distance bucket, added to the scores.

Raffel et al., "Exploring the Limits of Transfer Learning", 2020, section 2.1. Short distances have one bucket
each; longer ones share buckets that grow logarithmically up to max_distance, and all beyond share the last.
All layers of a stack share one table.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.position import RelativeBias as Spec
from zeropoint.layers.mask import distances

__all__ = ["RelativeBias", "buckets"]


class RelativeBias(nn.Module):
    """weight[bucket(distance), head]."""

    def __init__(self, spec: Spec, n_heads: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.zeros(spec.n_buckets, n_heads))

    def forward(self, n_queries: int, n_keys: int) -> Tensor:
        """What to add to the scores: [H, T, S]."""
        bucket_TS = buckets(distances(n_queries, n_keys, self.weight.device), self.spec)
        return F.embedding(bucket_TS, self.weight).permute(2, 0, 1)


def buckets(distance: Tensor, spec: Spec) -> Tensor:
    """The bucket of each distance (query minus key), same shape.

    A bidirectional spec reserves half of the buckets for keys ahead of the query. In each direction, the
    first half of the buckets hold one distance each.
    """
    n_buckets, first = spec.n_buckets, torch.zeros_like(distance)
    if spec.is_bidirectional:
        n_buckets //= 2
        first = torch.where(distance < 0, n_buckets, 0)
        distance = distance.abs()
    distance = distance.clamp(min=0)
    n_exact = n_buckets // 2
    growth = torch.log(distance.clamp(min=1) / n_exact) / math.log(spec.max_distance / n_exact)
    shared = (n_exact + (growth * (n_buckets - n_exact)).long()).clamp(max=n_buckets - 1)
    return first + torch.where(distance < n_exact, distance, shared)
