"""Dettmers' quantisation example, with the rounding that reproduces his numbers."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._toy_quantisation import round_trip, rounded_down

__all__ = ["CLAIM"]


def compute() -> Value:
    """[3 1 2 3] quantised to I3, then dequantised to I5."""
    return round_trip(rounded_down)


CLAIM = Claim(
    number="20a",
    description="[3 1 2 3] from I5 to I3 and back, rounding down: one value changes",
    published=(4.0, 0.0, 2.0, 4.0, 3.0, 0.0, 2.0, 3.0),
    source='Dettmers, "LLM.int8() and Emergent Features", 2022',
    explained_by="python -m pydoc zeropoint.learn.claims.published._toy_quantisation",
    compute=compute,
    reason="reproducing the published numbers requires rounding 1.33 and 2.67 down to a value of I3; see 20b",
)
