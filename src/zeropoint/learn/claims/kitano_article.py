"""Kitano's ladder of models as the article has it, counted.

Its attention is three projections at full width and then the whole of torch's multi-head attention, whose own
projections mix again what was rotated; the repository corrected that (`learn/llama_from_scratch.py`), so this
one is counted as torch builds it and never trained.
"""

from __future__ import annotations

from torch import nn

from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]

V, D, T, HEADS, LAYERS = 65, 128, 16, 8, 4


def compute() -> Value:
    """Parameters of: the feed-forward start, with RMSNorm, with attention, with SwiGLU, with four blocks."""
    start = _count([nn.Embedding(V, D), nn.Linear(D, D), nn.Linear(D, V)])
    norm = T * D  # his scale has the shape of the whole window
    attend = _count([*(nn.Linear(D, D, bias=False) for _ in range(3)), nn.MultiheadAttention(D, HEADS)])
    swiglu = _count([nn.Linear(D, D), nn.Linear(D, D)]) + 1  # and beta
    block = norm + attend + _count([nn.Linear(D, D)]) + swiglu
    # The last rung keeps the first one's linear layer, now with SwiGLU, after the blocks.
    rungs = (
        start,
        start + norm,
        start + norm + attend,
        start + norm + attend + swiglu,
        start + swiglu + LAYERS * block,
    )
    return tuple(map(float, rungs))


def _count(modules: list[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


CLAIM = Claim(
    number="9",
    about="Llama from scratch, article: start, + RMSNorm, + attention, + SwiGLU, four blocks",
    published=(33_217.0, 35_265.0, 150_465.0, 183_490.0, 733_382.0),
    source='Kitano, "Llama from scratch (or how to implement a paper without crying)", 2023',
    explained_by="python -m pydoc zeropoint.learn.claims.kitano_article",
    compute=compute,
    reason="article and repository are two different models; see claims 9 and 10",
)
