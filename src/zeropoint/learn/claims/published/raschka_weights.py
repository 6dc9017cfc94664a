"""Raschka's attention weights and context vector of the second word."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._raschka import second_word

__all__ = ["CLAIM"]


def compute() -> Value:
    """Attention weights, then the context vector."""
    steps = second_word()
    return (*steps["weights"].tolist(), *steps["context"].tolist())


CLAIM = Claim(
    number="17",
    description="Raschka, self-attention, torch seed 123: weights of the second word, then context vector",
    published=(0.0386, 0.6870, 0.0204, 0.0840, 0.1470, 0.0229, 0.5313, 1.3607, 0.7891, 1.3110),
    tolerance=5e-5,
    source='Raschka, "Understanding and Coding Self-Attention", 2024',
    explained_by="python -m pydoc zeropoint.learn.claims.published._raschka",
    compute=compute,
)
