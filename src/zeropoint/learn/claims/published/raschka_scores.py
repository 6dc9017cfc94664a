"""Raschka's unscaled attention scores of the second word."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._raschka import second_word

__all__ = ["CLAIM"]


def compute() -> Value:
    """The query of the second word against every key."""
    return tuple(second_word()["scores"].tolist())


CLAIM = Claim(
    number="16",
    description="Raschka, self-attention, torch seed 123: scores of the second word (omega)",
    published=(-0.6004, 3.4707, -1.5023, 0.4991, 1.2903, -1.3374),
    tolerance=5e-5,
    source='Raschka, "Understanding and Coding Self-Attention", 2024',
    explained_by="python -m pydoc zeropoint.learn.claims.published._raschka",
    compute=compute,
)
