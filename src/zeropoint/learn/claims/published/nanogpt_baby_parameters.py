"""The parameter count of nanoGPT's character model; like nanoGPT, it excludes the position table."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters_without_positions
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters without the position table."""
    return float(count_parameters_without_positions(catalog.load("baby-gpt")))


CLAIM = Claim(
    number="7",
    description="nanoGPT baby GPT: parameters without the position table",
    published=10_646_784.0,
    source="Karpathy, nanoGPT, config/train_shakespeare_char.py (10.65M)",
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
