"""Dettmers' example of quantisation, with the rounding that gives his numbers."""

from __future__ import annotations

from zeropoint.learn.claim import Claim, Value
from zeropoint.learn.claims._toy_quantisation import rounded_down, there_and_back

__all__ = ["CLAIM"]


def compute() -> Value:
    """[3 1 2 3] in I3, then back in I5."""
    return there_and_back(rounded_down)


CLAIM = Claim(
    number="20a",
    about="[3 1 2 3] from I5 to I3 and back, rounded down: one value is damaged",
    published=(4.0, 0.0, 2.0, 4.0, 3.0, 0.0, 2.0, 3.0),
    source='Dettmers, "LLM.int8() and Emergent Features", 2022',
    explained_by="python -m pydoc zeropoint.learn.claims._toy_quantisation",
    compute=compute,
    reason="his numbers come from rounding 1.33 and 2.67 down to what I3 holds; see 20b",
)
