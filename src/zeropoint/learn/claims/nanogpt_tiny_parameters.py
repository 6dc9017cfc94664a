"""nanoGPT's model for a laptop, counted as nanoGPT counts: without the table of positions."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters_without_positions
from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters but those of the positions."""
    return float(count_parameters_without_positions(catalog.load("tiny-gpt")))


CLAIM = Claim(
    number="8",
    about="nanoGPT's CPU model, 4 layers 128 wide, without positions: parameters",
    published=795_904.0,
    source="Karpathy, nanoGPT, README.md (0.80M)",
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
