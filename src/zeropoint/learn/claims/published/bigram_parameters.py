"""The bigram model: one row of logits for each character."""

from __future__ import annotations

import torch

from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The number of weights in a 65 x 65 table."""
    return float(sum(p.numel() for p in torch.nn.Embedding(65, 65).parameters()))


CLAIM = Claim(
    number="4",
    description="bigram model over 65 characters: parameters",
    published=4225.0,
    source='Karpathy, "Let\'s build GPT", 2023',
    explained_by="python -m pydoc zeropoint.learn.claims.published.bigram_parameters",
    compute=compute,
)
