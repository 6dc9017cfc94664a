"""The parameter counts of Kitano's "Llama from scratch" repository: the rungs of `zeropoint ladder llama`."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.ladders.published.llama import LADDER

__all__ = ["CLAIM"]

_RUNGS = ("feed-forward", "rms-norm", "rope-attention", "swiglu", "blocks")


def compute() -> Value:
    """Parameters of the five rungs."""
    models = [rung.build() for rung in LADDER.rungs if rung.name in _RUNGS]
    return tuple(float(sum(p.numel() for p in model.parameters())) for model in models)


CLAIM = Claim(
    number="10",
    description="Llama from scratch, repository, parameters: start, RMSNorm, attention, SwiGLU, 4 blocks",
    published=(33_217.0, 35_265.0, 559_681.0, 592_706.0, 2_370_246.0),
    source="Kitano, repository llama-from-scratch, llama.ipynb",
    explained_by="zeropoint ladder llama",
    compute=compute,
    reason="the article and the repository describe two different models; see claims 9 and 10",
)
