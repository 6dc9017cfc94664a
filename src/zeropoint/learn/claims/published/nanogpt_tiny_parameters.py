"""The parameter count of nanoGPT's CPU model; like nanoGPT, it excludes the position table."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters_without_positions
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters without the position table."""
    return float(count_parameters_without_positions(catalog.load("tiny-gpt")))


CLAIM = Claim(
    number="8",
    description="nanoGPT CPU model, 4 layers, width 128: parameters without the position table",
    published=795_904.0,
    source="Karpathy, nanoGPT, README.md (0.80M)",
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
