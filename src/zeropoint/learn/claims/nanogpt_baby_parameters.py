"""nanoGPT's character model, counted as nanoGPT counts: without the table of positions."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters_without_positions
from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters but those of the positions."""
    return float(count_parameters_without_positions(catalog.load("baby-gpt")))


CLAIM = Claim(
    number="7",
    about="nanoGPT's baby GPT, without positions: parameters",
    published=10_646_784.0,
    source="Karpathy, nanoGPT, config/train_shakespeare_char.py (10.65M)",
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
