"""The parameter count of the full "Let's build GPT" model."""

from __future__ import annotations

from zeropoint.blueprint.cost import count_parameters
from zeropoint.learn.build_gpt import lecture_blueprint
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """Millions of parameters, counted from the blueprint."""
    return count_parameters(lecture_blueprint()) / 1e6


CLAIM = Claim(
    number="5",
    description="Let's build GPT, 6 layers, 6 heads, width 384, context 256: millions of parameters",
    published=10.788929,
    tolerance=5e-7,
    source='Karpathy, "Let\'s build GPT", 2023, gpt.py (printed by its public runs)',
    explained_by="python -m pydoc zeropoint.learn.build_gpt",
    compute=compute,
)
