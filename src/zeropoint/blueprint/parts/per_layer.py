"""Per-layer inputs: every block reads a small vector of its own for each token (Gemma 3n, Gemma 4)."""

from __future__ import annotations

from zeropoint.blueprint.parts.ffn import Activation
from zeropoint.frozen import frozen

__all__ = ["PerLayerInput"]


@frozen
class PerLayerInput:
    """x + norm(projection(activation(gate(x)) * input)), after the feed-forward network.

    input, [width], is the block's part of (norm(W e / sqrt(d_model)) + sqrt(width) t) / sqrt(2): e is the
    token's embedding, t its row of a second table that has `width` columns for each block.
    """

    width: int
    activation: Activation = "gelu_tanh"
