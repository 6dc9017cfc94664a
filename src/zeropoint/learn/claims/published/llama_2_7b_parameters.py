"""The parameter count of Llama 2 7B."""

from __future__ import annotations

from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_parameters
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The number of parameters, from the blueprint."""
    blueprint = catalog.load("llama-2-7b")
    return float(count_parameters(blueprint))


CLAIM = Claim(
    number="11b",
    description="Llama 2 7B: parameters",
    published=6_738_415_616.0,
    source='Touvron et al., "Llama 2", 2023; Hugging Face checkpoint',
    explained_by="python -m pydoc zeropoint.blueprint.cost",
    compute=compute,
)
