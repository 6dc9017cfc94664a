"""Kitano's ladder of models as the article has it, counted."""

from __future__ import annotations

from zeropoint.evaluate.claim import Claim, Value
from zeropoint.evaluate.claims._kitano import article_attention, ladder

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters of the five rungs."""
    return ladder(article_attention)


CLAIM = Claim(
    number="9",
    about="Llama from scratch, article: start, + RMSNorm, + attention, + SwiGLU, four blocks",
    published=(33_217.0, 35_265.0, 150_465.0, 183_490.0, 733_382.0),
    source='Kitano, "Llama from scratch (or how to implement a paper without crying)", 2023',
    explained_by="python -m pydoc zeropoint.evaluate.claims._kitano",
    compute=compute,
    reason="article and repository are two different models; see claims 9 and 10",
)
