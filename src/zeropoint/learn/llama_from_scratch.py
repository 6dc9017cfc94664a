"""The parts of Kitano's "Llama from scratch" (2023), with the bugs they were published with and without them.

Two bugs leak future tokens: a norm over the complete window, and attention without a mask. Two only make the
model slightly worse: attention dropout that stays on in evaluation, and rotary angles that start one pair
early. In both versions the block is the article's: one norm, applied twice to the residual stream itself,
which is neither pre-norm nor post-norm.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.norm import norm

__all__ = [
    "CORRECTED",
    "PUBLISHED",
    "UNMASKED",
    "Block",
    "Bugs",
    "RotaryAttention",
    "SwiGLU",
    "WindowNorm",
    "make_norm",
]

_DROPOUT = 0.1
_BASE = 10000.0


@dataclass(frozen=True)
class Bugs:
    """Which of the article's bugs a model has.

    norms_window: the norm averages over all tokens of the window. has_no_mask: attention sees future tokens.
    drops_in_eval: attention dropout stays on after training. rope_is_off_by_one: the first pair of columns
    rotates at the frequency before the first.
    """

    norms_window: bool = False
    has_no_mask: bool = False
    drops_in_eval: bool = False
    rope_is_off_by_one: bool = False


CORRECTED = Bugs()
PUBLISHED = Bugs(norms_window=True, drops_in_eval=True, rope_is_off_by_one=True)
UNMASKED = Bugs(norms_window=True, drops_in_eval=True, rope_is_off_by_one=True, has_no_mask=True)


class WindowNorm(nn.Module):
    """Divide x by the root mean square of the complete window; scale each position and column.

    Unlike RMSNorm, the mean includes all tokens, so that each token depends on the size of later ones.
    """

    def __init__(self, n_ctx: int, d_model: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_ctx, d_model))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """x [B, T, D] of at most n_ctx tokens -> [B, T, D]."""
        rms_B11 = x_BTD.square().mean((1, 2), keepdim=True).sqrt()
        return x_BTD / rms_B11 * self.scale[: x_BTD.shape[1]]


def make_norm(bugs: Bugs, n_ctx: int, d_model: int) -> nn.Module:
    """The published norm over the window, or RMSNorm of each token (Zhang and Sennrich, 2019)."""
    return WindowNorm(n_ctx, d_model) if bugs.norms_window else norm(RMSNorm(1e-8), d_model)


class RotaryAttention(nn.Module):
    """Rotary attention whose heads are each d_model wide, followed by dropout."""

    def __init__(self, bugs: Bugs, d_model: int, n_heads: int) -> None:
        super().__init__()
        n_pairs = d_model // 2
        # Pair i has frequency base^(-2 (i - 1) / d); the bug divides it by base^(-2 / d).
        factors = (_BASE ** (-2 / d_model),) * n_pairs if bugs.rope_is_off_by_one else ()
        rope = Rope(_BASE, d_model, is_interleaved=True, frequency_factors=factors)
        spec = Attention(
            n_heads, n_heads, d_model, position=rope, is_causal=not bugs.has_no_mask, bias="output"
        )
        self.attention = SelfAttention(spec, d_model, _DROPOUT)
        if bugs.drops_in_eval:
            self.attention.dropout = AlwaysDropout(_DROPOUT)
        self.dropout = Dropout(_DROPOUT)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The attention output [B, T, D]."""
        output_BTD: Tensor = self.dropout(self.attention(x_BTD))
        return output_BTD


class AlwaysDropout(Dropout):
    """Dropout of attention weights that continues in evaluation: one of the published bugs."""

    @property
    def active_p(self) -> float:
        """p, while training and in evaluation."""
        return self.p


class SwiGLU(nn.Module):
    """gate(x) sigmoid(beta gate(x)) * up(x), with biases and a learned beta (Shazeer, 2020, has neither)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d_model, d_model)
        self.up = nn.Linear(d_model, d_model)
        self.beta = nn.Parameter(torch.ones(1))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D], each token separately."""
        gate_BTD = self.gate(x_BTD)
        hidden_BTD: Tensor = gate_BTD * torch.sigmoid(self.beta * gate_BTD) * self.up(x_BTD)
        return hidden_BTD


class Block(nn.Module):
    """x = norm(x); x = x + attention(x); x = norm(x); x = x + feed_forward(x): one norm, used twice."""

    def __init__(self, bugs: Bugs, n_ctx: int, d_model: int, n_heads: int, activation: nn.Module) -> None:
        """activation: follows the linear layer of the feed-forward network."""
        super().__init__()
        self.norm = make_norm(bugs, n_ctx, d_model)
        self.attention = RotaryAttention(bugs, d_model, n_heads)
        self.feed_forward = nn.Sequential(nn.Linear(d_model, d_model), activation)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The residual stream after the block [B, T, D]."""
        x_BTD = self.norm(x_BTD)
        x_BTD = x_BTD + self.attention(x_BTD)
        x_BTD = self.norm(x_BTD)
        output_BTD: Tensor = self.feed_forward(x_BTD)
        return x_BTD + output_BTD
