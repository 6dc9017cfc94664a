"""Attention without weights: the first table of Raschka's book."""

from __future__ import annotations

import torch

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._raschka import JOURNEY, attention

__all__ = ["CLAIM"]


def compute() -> Value:
    """Scores of "journey" against every word, then their softmax."""
    identity = torch.eye(3)
    # Queries, keys and values are the vectors themselves; the book does not scale the scores.
    scores_T = attention(JOURNEY, identity, identity, identity)["scores"][1] * 3**0.5
    return (*scores_T.tolist(), *torch.softmax(scores_T, dim=-1).tolist())


CLAIM = Claim(
    number="19",
    description='Raschka, book, chapter 3: attention scores of "journey", then softmax',
    published=(
        *(0.9544, 1.4950, 1.4754, 0.8434, 0.7070, 1.0865),
        *(0.1385, 0.2379, 0.2333, 0.1240, 0.1082, 0.1581),
    ),
    tolerance=5e-5,
    source='Raschka, "Build a Large Language Model (From Scratch)", 2024, section 3.3',
    explained_by="python -m pydoc zeropoint.learn.claims.published._raschka",
    compute=compute,
)
