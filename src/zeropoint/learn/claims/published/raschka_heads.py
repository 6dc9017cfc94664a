"""Raschka's four attention heads, concatenated."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._raschka import four_heads

__all__ = ["CLAIM"]


def compute() -> Value:
    """The second word's row of the output."""
    return tuple(four_heads()[1].tolist())


CLAIM = Claim(
    number="18",
    description="Raschka, self-attention, torch seed 123: four heads, output for the second word",
    published=(0.4003, 1.7137, 1.3981, 1.0497),
    tolerance=5e-5,
    source='Raschka, "Understanding and Coding Self-Attention", 2024',
    explained_by="python -m pydoc zeropoint.learn.claims.published._raschka",
    compute=compute,
)
