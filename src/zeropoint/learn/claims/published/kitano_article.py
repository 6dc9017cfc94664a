"""The parameter counts of Kitano's "Llama from scratch", as printed in the article.

The article's attention projects queries, keys and values at full width and then calls torch's multi-head
attention, whose own projections mix the rotated vectors again. The repository fixed that
(`learn/llama_from_scratch.py`), so this version is only counted, as torch builds it, and never trained.
"""

from __future__ import annotations

from torch import nn

from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]

V, D, T, HEADS, LAYERS = 65, 128, 16, 8, 4


def compute() -> Value:
    """Parameters of: the feed-forward start, + RMSNorm, + attention, + SwiGLU, four blocks."""
    start = _count([nn.Embedding(V, D), nn.Linear(D, D), nn.Linear(D, V)])
    norm = T * D  # the article's scale has one entry per position and column
    attention = _count([*(nn.Linear(D, D, bias=False) for _ in range(3)), nn.MultiheadAttention(D, HEADS)])
    swiglu = _count([nn.Linear(D, D), nn.Linear(D, D)]) + 1  # + 1 for beta
    block = norm + attention + _count([nn.Linear(D, D)]) + swiglu
    # The last rung puts the first rung's linear layer, now with SwiGLU, after the blocks.
    rungs = (
        start,
        start + norm,
        start + norm + attention,
        start + norm + attention + swiglu,
        start + swiglu + LAYERS * block,
    )
    return tuple(map(float, rungs))


def _count(modules: list[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


CLAIM = Claim(
    number="9",
    description="Llama from scratch, article, parameters: start, RMSNorm, attention, SwiGLU, 4 blocks",
    published=(33_217.0, 35_265.0, 150_465.0, 183_490.0, 733_382.0),
    source='Kitano, "Llama from scratch (or how to implement a paper without crying)", 2023',
    explained_by="python -m pydoc zeropoint.learn.claims.published.kitano_article",
    compute=compute,
    reason="the article and the repository describe two different models; see claims 9 and 10",
)
