"""What it costs to read the whole text again for every token."""

from __future__ import annotations

from zeropoint.learn.claim import Claim, Value
from zeropoint.learn.claims._loops import cached, naive, small_model

__all__ = ["CLAIM"]


def compute() -> Value:
    """Tokens that went through the model: naive, and with a cache. Counted, not calculated."""
    counts = []
    for loop in (naive, cached):
        model = small_model()
        loop(model, list(range(10)), 100)
        counts.append(float(model.n_passed))
    return tuple(counts)


CLAIM = Claim(
    number="2",
    about="token passes for 10 prompt tokens and 100 new ones: naive, with a KV cache",
    published=(5950.0, 109.0),
    source='Theia Vogel, "How to make LLMs go fast", 2023, "Why is simple inference so slow?"',
    explained_by="python -m pydoc zeropoint.learn.claims._loops",
    compute=compute,
)
