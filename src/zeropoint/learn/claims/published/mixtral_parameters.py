"""The parameter counts of Mixtral 8x7B: total, and active per token."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_active_parameters, count_parameters
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Billions of parameters: total, then active per token."""
    blueprint = catalog.load("mixtral-8x7b")
    return count_parameters(blueprint) / 1e9, count_active_parameters(blueprint) / 1e9


CLAIM = Claim(
    number="11c",
    description="Mixtral 8x7B: billions of parameters, total and active",
    published=(46.7, 12.9),
    tolerance=0.05,
    source='Mistral AI, "Mixtral of experts", 2023',
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
