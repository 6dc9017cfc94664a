"""Kitano's "Llama from scratch", part by part. Two models go by that name: the article's, the repository's.

The parts are not those of any blueprint (a norm with a scale a position, projections before a whole
multi-head attention of torch), so they are built as torch builds them and counted.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

__all__ = ["article_attention", "ladder", "repository_attention"]

V, D, T, HEADS, LAYERS = 65, 128, 16, 8, 4


def ladder(attention: Callable[[], list[nn.Module]]) -> tuple[float, ...]:
    """Parameters of: the feed-forward start, with RMSNorm, with attention, with SwiGLU, with four blocks."""
    start = _count([nn.Embedding(V, D), nn.Linear(D, D), nn.Linear(D, V)])
    norm = T * D  # his scale has the shape of the whole window
    attend, swiglu = _count(attention()), _swiglu()
    block = norm + attend + _count([nn.Linear(D, D)]) + swiglu
    # The last rung keeps the first one's linear layer, now with SwiGLU, after the blocks.
    blocks = start + swiglu + LAYERS * block
    return tuple(
        map(float, (start, start + norm, start + norm + attend, start + norm + attend + swiglu, blocks))
    )


def article_attention() -> list[nn.Module]:
    """Three projections at full width, and torch's multi-head attention on what they give."""
    return [*(nn.Linear(D, D, bias=False) for _ in range(3)), nn.MultiheadAttention(D, HEADS)]


def repository_attention() -> list[nn.Module]:
    """Eight heads, each with three projections at full width, and one layer that brings them together."""
    return [*(nn.Linear(D, D, bias=False) for _ in range(3 * HEADS)), nn.Linear(HEADS * D, D)]


def _swiglu() -> int:
    return _count([nn.Linear(D, D), nn.Linear(D, D)]) + 1  # and beta


def _count(modules: list[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())
