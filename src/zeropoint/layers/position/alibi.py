"""ALiBi: attention with linear biases (Press et al., "Train Short, Test Long", 2021, section 3).

    score(query, key) -= slope_h * distance

The embedding carries no position. Each head h has its own slope, so some heads attend nearby and others far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from zeropoint.blueprint.parts.position import Alibi
from zeropoint.layers.mask import distances

__all__ = ["alibi_bias", "score_bias"]


def alibi_bias(
    spec: Alibi, n_heads: int, n_queries: int, n_keys: int, device: torch.device | None = None
) -> Tensor:
    """What to add to the scores: -slope_h * |distance|, [H, T, S]."""
    slopes_H = torch.tensor(spec.slopes(n_heads), device=device)
    return -slopes_H[:, None, None] * distances(n_queries, n_keys, device).abs()


def score_bias(spec: Alibi, n_heads: int) -> Callable[..., Tensor]:
    """`alibi_bias` for this number of heads."""
    return partial(alibi_bias, spec, n_heads)
