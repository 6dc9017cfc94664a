"""The parameter count of phi-2."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Billions of parameters, from the blueprint."""
    blueprint = catalog.load("phi-2")
    return count_parameters(blueprint) / 1e9


CLAIM = Claim(
    number="11d",
    description="phi-2: billions of parameters",
    published=2.78,
    tolerance=0.005,
    source="Microsoft, phi-2 model card, 2023",
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
