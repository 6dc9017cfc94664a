"""The feed-forward network (FFN): transforms each token's vector independently of all other tokens."""

from __future__ import annotations

from typing import Literal

from zeropoint.frozen import frozen

__all__ = ["FFN", "MLP", "Activation", "ChannelMix", "Gated", "MixtureOfExperts"]

Activation = Literal["relu", "gelu", "gelu_tanh", "gelu_sigmoid", "silu"]


@frozen
class MLP:
    """down(activation(up(x))): d_model -> d_ff -> d_model (Vaswani et al., 2017, section 3.3)."""

    d_ff: int
    activation: Activation
    has_bias: bool = True


@frozen
class Gated:
    """down(activation(gate(x)) * up(x)): a gated linear unit (Shazeer, "GLU Variants", 2020).

    SwiGLU with silu (Llama), GeGLU with gelu (Gemma). All three matrices are d_model x d_ff.

    limit: gate(x) is at most `limit`, and up(x) within +-limit; None for no limit (7 in gpt-oss).
    up_offset: added to up(x), after the limit (1 in gpt-oss).
    """

    d_ff: int
    activation: Activation = "silu"
    has_bias: bool = False
    limit: float | None = None
    up_offset: float = 0.0


@frozen
class MixtureOfExperts:
    """A router selects n_active of n_experts gated networks per token (Jiang et al., "Mixtral", 2024).

    The output is the sum of the active experts' outputs, weighted by the router's softmax probabilities.
    has_renormalized_weights: rescale the probabilities of the active experts to sum to 1, which equals a
    softmax over the active experts only (gpt-oss).
    shared: a network that every token uses besides, with weight 1 (Granite 4).
    """

    n_experts: int
    n_active: int
    expert: Gated
    has_renormalized_weights: bool = True
    has_router_bias: bool = False
    shared: Gated | None = None


@frozen
class ChannelMix:
    """down(relu(up(x + shift * (previous - x)))^2), without biases (RWKV-7, Peng et al., 2025).

    previous: the vector of the token before; zero at the beginning of a text. So this network, unlike others,
    keeps a state, and a block has it together with a recurrence only. shift: one number per column.
    """

    d_ff: int


FFN = MLP | Gated | MixtureOfExperts | ChannelMix
