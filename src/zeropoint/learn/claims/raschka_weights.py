"""Raschka's weights and context vector of the second word."""

from __future__ import annotations

from zeropoint.learn.claim import Claim, Value
from zeropoint.learn.claims._raschka import second_word

__all__ = ["CLAIM"]


def compute() -> Value:
    """Weights, then the mixture of values."""
    seen = second_word()
    return (*seen["weights"].tolist(), *seen["mix"].tolist())


CLAIM = Claim(
    number="17",
    about="the same: weights, then context vector",
    published=(0.0386, 0.6870, 0.0204, 0.0840, 0.1470, 0.0229, 0.5313, 1.3607, 0.7891, 1.3110),
    tolerance=5e-5,
    source='Raschka, "Understanding and Coding Self-Attention", 2024',
    explained_by="python -m pydoc zeropoint.learn.claims._raschka",
    compute=compute,
)
