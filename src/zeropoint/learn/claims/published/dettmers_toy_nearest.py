"""Dettmers' example with rounding to nearest, which does not reproduce the published numbers."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._toy_quantisation import nearest, round_trip

__all__ = ["CLAIM"]


def compute() -> Value:
    """[3 1 2 3] quantised to I3, then dequantised to I5."""
    return round_trip(nearest)


CLAIM = Claim(
    number="20b",
    description="[3 1 2 3] from I5 to I3 and back, rounding to nearest",
    published=(4.0, 0.0, 2.0, 4.0, 3.0, 0.0, 2.0, 3.0),
    source='Dettmers, "LLM.int8() and Emergent Features", 2022',
    explained_by="python -m pydoc zeropoint.learn.claims.published._toy_quantisation",
    compute=compute,
    reason="1 scales to 1.33, which is nearer to 2 than to 0: [4 2 2 4], and back [3 2 2 3]; "
    "one value still changes",
    known_to_fail=True,
)
