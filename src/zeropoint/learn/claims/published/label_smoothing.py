"""The label smoothing example of The Annotated Transformer."""

from __future__ import annotations

import torch

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.train.objectives.seq2seq import smoothed_targets

__all__ = ["CLAIM"]


def compute() -> Value:
    """Target distributions for token 2 and for padding: 5 tokens, smoothing 0.4."""
    targets_NV = smoothed_targets(torch.tensor([2, 0]), 5, 0.4, padding_id=0)
    return tuple(targets_NV.flatten().tolist())


CLAIM = Claim(
    number="12",
    description="label smoothing 0.4 over 5 tokens: target distribution of token 2, then of padding",
    published=(0.0, 0.1333, 0.6, 0.1333, 0.1333, 0.0, 0.0, 0.0, 0.0, 0.0),
    tolerance=5e-5,
    source="Rush et al., The Annotated Transformer, 2022, example_label_smoothing",
    explained_by="python -m pydoc zeropoint.train.objectives.seq2seq",
    compute=compute,
)
