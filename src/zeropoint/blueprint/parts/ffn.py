"""What a block does with each token by itself."""

from __future__ import annotations

from typing import Literal

from zeropoint.frozen import frozen

__all__ = ["FFN", "MLP", "Activation", "Gated", "MixtureOfExperts"]

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]


@frozen
class MLP:
    """down(activation(up(x))) with a hidden width of d_ff (Vaswani et al., 2017, section 3.3)."""

    d_ff: int
    activation: Activation
    has_bias: bool = True


@frozen
class Gated:
    """down(activation(gate(x)) * up(x)): SwiGLU with silu, GeGLU with gelu (Shazeer, 2020)."""

    d_ff: int
    activation: Activation = "silu"


@frozen
class MixtureOfExperts:
    """n_active of n_experts gated networks, chosen by a router for each token (Jiang et al., 2024).

    has_renormalized_weights: the chosen experts' probabilities are scaled to sum to 1.
    """

    n_experts: int
    n_active: int
    expert: Gated
    has_renormalized_weights: bool = True


FFN = MLP | Gated | MixtureOfExperts
