"""The loss of a model that predicts every character with equal probability."""

from __future__ import annotations

import torch

from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The cross-entropy of equal logits over 65 characters, in nats."""
    logits_BV = torch.zeros(1, 65, dtype=torch.float64)
    return float(torch.nn.functional.cross_entropy(logits_BV, torch.tensor([7])))


CLAIM = Claim(
    number="3",
    description="loss of a uniform prediction over 65 characters (ln 65)",
    published=4.17439,
    tolerance=5e-6,
    source='Karpathy, "Let\'s build GPT", 2023, first loss of the bigram model',
    explained_by="python -m pydoc zeropoint.learn.claims.published.uniform_loss",
    compute=compute,
)
