"""Sinusoidal positions: one matrix shifts every position by a fixed offset."""

from __future__ import annotations

from zeropoint.layers.position.encoding_properties import shift_matrix, sinusoidal
from zeropoint.learn.claims.claim import Claim, Value

__all__ = ["CLAIM"]


def compute() -> Value:
    """The largest difference between M(shift) PE(t) and PE(t + shift), for four shifts and t up to 127."""
    table_TD = sinusoidal(64)(128)
    worst = 0.0
    for shift in (1, 5, 10, 50):
        shifted_TD = table_TD[:-shift] @ shift_matrix(64, shift).T
        worst = max(worst, float((shifted_TD - table_TD[shift:]).abs().max()))
    return worst


CLAIM = Claim(
    number="15b",
    description="sinusoidal positions: largest difference of M(shift) PE(t) and PE(t + shift)",
    published=0.0,
    tolerance=1e-6,
    source='Kazemnejad, "Transformer Architecture: The Positional Encoding", 2019',
    explained_by="python -m pydoc zeropoint.layers.position.encoding_properties",
    compute=compute,
)
