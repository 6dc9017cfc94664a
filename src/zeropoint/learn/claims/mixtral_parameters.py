"""Mixtral 8x7B, counted from its blueprint."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_active_parameters, count_parameters
from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Billions of parameters: in all, and those that one token meets."""
    blueprint = catalog.load("mixtral-8x7b")
    return count_parameters(blueprint) / 1e9, count_active_parameters(blueprint) / 1e9


CLAIM = Claim(
    number="11c",
    about="Mixtral 8x7B: billions of parameters, of them active",
    published=(46.7, 12.9),
    tolerance=0.05,
    source='Mistral AI, "Mixtral of experts", 2023',
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
