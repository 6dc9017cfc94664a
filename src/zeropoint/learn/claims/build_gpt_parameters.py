"""The full model of the lecture, counted."""

from __future__ import annotations

from zeropoint.blueprint.cost import count_parameters
from zeropoint.learn.claim import Claim, Value
from zeropoint.learn.claims._build_gpt import lecture_blueprint

__all__ = ["CLAIM"]


def compute() -> Value:
    """Millions of parameters, from the blueprint."""
    return count_parameters(lecture_blueprint()) / 1e6


CLAIM = Claim(
    number="5",
    about="lecture model, 384 wide, 6 heads, 6 layers, 256 positions: millions of parameters",
    published=10.788929,
    tolerance=5e-7,
    source='Karpathy, "Let\'s build GPT", 2023, gpt.py (printed by its public runs)',
    explained_by="python -m pydoc zeropoint.learn.claims._build_gpt",
    compute=compute,
)
