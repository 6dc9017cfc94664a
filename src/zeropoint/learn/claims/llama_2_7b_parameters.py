"""Llama 2 7B, counted from its blueprint."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters
from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Parameters."""
    blueprint = catalog.load("llama-2-7b")
    return float(count_parameters(blueprint))


CLAIM = Claim(
    number="11b",
    about="Llama 2 7B: parameters",
    published=6_738_415_616.0,
    tolerance=0.0,
    source='Touvron et al., "Llama 2", 2023; the checkpoint of Hugging Face',
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
