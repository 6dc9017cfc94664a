"""Raschka's four heads side by side."""

from __future__ import annotations

from zeropoint.learn.claim import Claim, Value
from zeropoint.learn.claims._raschka import four_heads

__all__ = ["CLAIM"]


def compute() -> Value:
    """The second word's row."""
    return tuple(four_heads()[1].tolist())


CLAIM = Claim(
    number="18",
    about="the same: four heads, row of the second word",
    published=(0.4003, 1.7137, 1.3981, 1.0497),
    tolerance=5e-5,
    source='Raschka, "Understanding and Coding Self-Attention", 2024',
    explained_by="python -m pydoc zeropoint.learn.claims._raschka",
    compute=compute,
)
