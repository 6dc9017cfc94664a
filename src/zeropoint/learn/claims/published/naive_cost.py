"""The cost of rereading the complete text for every generated token."""

from __future__ import annotations

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._loops import cached, naive, small_model

__all__ = ["CLAIM"]


def compute() -> Value:
    """Tokens passed through the model: naive loop, then with a KV cache. Counted, not calculated."""
    counts = []
    for loop in (naive, cached):
        model = small_model()
        loop(model, list(range(10)), 100)
        counts.append(float(model.n_processed))
    return tuple(counts)


CLAIM = Claim(
    number="2",
    description="tokens processed for a 10-token prompt and 100 new tokens: naive, with a KV cache",
    published=(5950.0, 109.0),
    source='Theia Vogel, "How to make LLMs go fast", 2023, "Why is simple inference so slow?"',
    explained_by="python -m pydoc zeropoint.learn.claims.published._loops",
    compute=compute,
)
