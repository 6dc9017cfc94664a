"""ALiBi slopes: how fast each attention head discounts distant tokens."""

from __future__ import annotations

from zeropoint.blueprint.parts.position import Alibi
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The reciprocals of the 8 slopes."""
    return tuple(1 / slope for slope in Alibi().slopes(8))


CLAIM = Claim(
    number="14",
    description="ALiBi with 8 heads: reciprocal of each slope",
    published=(2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
    source='Press et al., "Train Short, Test Long", 2021, section 3; Weng, "Transformer Family v2.0", 2023',
    explained_by="python -m pydoc zeropoint.blueprint.parts.position",
    compute=compute,
)
