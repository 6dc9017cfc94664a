"""Kitano's ladder of models as the repository has it, counted."""

from __future__ import annotations

from zeropoint.evaluate.claim import Claim, Value
from zeropoint.evaluate.claims._kitano import ladder, repository_attention

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters of the five rungs."""
    return ladder(repository_attention)


CLAIM = Claim(
    number="10",
    about="Llama from scratch, repository: start, + RMSNorm, + attention, + SwiGLU, four blocks",
    published=(33_217.0, 35_265.0, 559_681.0, 592_706.0, 2_370_246.0),
    source="Kitano, repository llama-from-scratch, llama.ipynb",
    explained_by="python -m pydoc zeropoint.evaluate.claims._kitano",
    compute=compute,
    reason="article and repository are two different models; see claims 9 and 10",
)
