"""The smallest language model: a row of logits for every character."""

from __future__ import annotations

import torch

from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Weights of a table of 65 rows with 65 logits."""
    return float(sum(p.numel() for p in torch.nn.Embedding(65, 65).parameters()))


CLAIM = Claim(
    number="4",
    about="parameters of the bigram model over 65 characters",
    published=4225.0,
    source='Karpathy, "Let\'s build GPT", 2023',
    explained_by="python -m pydoc zeropoint.learn.claims.bigram_parameters",
    compute=compute,
)
