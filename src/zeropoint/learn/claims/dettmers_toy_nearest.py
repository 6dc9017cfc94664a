"""The same with the rounding that quantisation uses, to the nearest: his numbers do not come out."""

from __future__ import annotations

from zeropoint.learn.claim import Claim, Value
from zeropoint.learn.claims._toy_quantisation import nearest, there_and_back

__all__ = ["CLAIM"]


def compute() -> Value:
    """[3 1 2 3] in I3, then back in I5."""
    return there_and_back(nearest)


CLAIM = Claim(
    number="20b",
    about="the same, rounded to the nearest",
    published=(4.0, 0.0, 2.0, 4.0, 3.0, 0.0, 2.0, 3.0),
    source='Dettmers, "LLM.int8() and Emergent Features", 2022',
    explained_by="python -m pydoc zeropoint.learn.claims._toy_quantisation",
    compute=compute,
    reason="1 becomes 1.33, which lies nearer to 2 than to 0: [4 2 2 4] and back [3 2 2 3]; "
    "still one value is damaged",
    known_to_fail=True,
)
