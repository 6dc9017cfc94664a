"""How fast each head of ALiBi forgets."""

from __future__ import annotations

from zeropoint.blueprint.parts.position import Alibi
from zeropoint.learn.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """One over the slopes of 8 heads."""
    return tuple(1 / slope for slope in Alibi().slopes(8))


CLAIM = Claim(
    number="14",
    about="ALiBi, 8 heads: one over each slope",
    published=(2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
    source='Press et al., "Train Short, Test Long", 2021, section 3; Weng, "Transformer Family v2.0", 2023',
    explained_by="python -m pydoc zeropoint.blueprint.parts.position",
    compute=compute,
)
