"""The annotated transformer's example of smoothed targets."""

from __future__ import annotations

import torch

from zeropoint.learn.claim import Claim, Value
from zeropoint.train.objectives.seq2seq import smoothed

__all__ = ["CLAIM"]


def compute() -> Value:
    """What is wanted for target 2, then for a target that is padding; 5 tokens, 0.4 smoothed away."""
    wanted_NV = smoothed(torch.tensor([2, 0]), 5, 0.4, padding=0)
    return tuple(wanted_NV.flatten().tolist())


CLAIM = Claim(
    number="12",
    about="label smoothing 0.4 over 5 tokens: wanted for target 2, then for padding",
    published=(0.0, 0.1333, 0.6, 0.1333, 0.1333, 0.0, 0.0, 0.0, 0.0, 0.0),
    tolerance=5e-5,
    source="Rush et al., The Annotated Transformer, 2022, example_label_smoothing",
    explained_by="python -m pydoc zeropoint.train.objectives.seq2seq",
    compute=compute,
)
