"""The peak learning rate of the Noam schedule, at the end of warm-up."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.train.schedules.noam import Noam

__all__ = ["CLAIM"]


def compute() -> Value:
    """The peak learning rate, then the step that reaches it."""
    noam = Noam(d_model=512, warmup_steps=4000)
    peak = max(range(1, 20_001), key=noam)
    return noam(peak), float(peak)


CLAIM = Claim(
    number="13",
    description="Noam schedule, d_model 512, 4,000 warm-up steps: peak learning rate, its step",
    published=(6.988e-4, 4000.0),
    tolerance=5e-8,
    source="Vaswani et al., 2017, equation 3; The Annotated Transformer, 2022",
    explained_by="python -m pydoc zeropoint.train.schedules.noam",
    compute=compute,
)
