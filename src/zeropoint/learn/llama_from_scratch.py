"""The parts of Kitano's "Llama from scratch", with the faults they were published with and without them.

Two of the faults show the future: a norm over the whole window, and attention with no mask. The other two
only make the model a little worse: dropout of attention weights that does not stop when training does, and
angles that start one pair early. The stream is the article's either way: it is normed itself, twice a block
by one norm, which is neither pre- nor post-norm.
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
from zeropoint.layers.token_positions import place

__all__ = ["HONEST", "PUBLISHED", "UNMASKED", "Block", "Faults", "Look", "Swiglu", "WindowNorm", "rms"]

_DROPOUT = 0.1
_BASE = 10000.0


@dataclass(frozen=True)
class Faults:
    """What is wrong: the norm takes the window as one; nothing hides the future; dropout never ends;
    the first pair of columns turns with the angle before the first."""

    norms_window: bool = False
    has_no_mask: bool = False
    drops_always: bool = False
    turns_early: bool = False


HONEST = Faults()
PUBLISHED = Faults(norms_window=True, drops_always=True, turns_early=True)
UNMASKED = Faults(norms_window=True, drops_always=True, turns_early=True, has_no_mask=True)


class WindowNorm(nn.Module):
    """x divided by the root mean square of the whole window, times a scale for each position and column.

    Not what RMSNorm is: the mean is over tokens too, so that each is told how large those after it are.
    """

    def __init__(self, n_ctx: int, d_model: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_ctx, d_model))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The same shape, of at most n_ctx tokens."""
        size_B11 = x_BTD.square().mean((1, 2), keepdim=True).sqrt()
        return x_BTD / size_B11 * self.scale[: x_BTD.shape[1]]


def rms(faults: Faults, n_ctx: int, d_model: int) -> nn.Module:
    """The norm: over the window, as published; or of each token by itself, as Zhang and Sennrich have it."""
    return WindowNorm(n_ctx, d_model) if faults.norms_window else norm(RMSNorm(1e-8), d_model)


class Look(nn.Module):
    """Rotary attention in which every head is as wide as the stream, and dropout on what it gathered."""

    def __init__(self, faults: Faults, d_model: int, n_heads: int) -> None:
        super().__init__()
        n_pairs = d_model // 2
        # A frequency base^(-2 (i - 1) / d) is the right one of pair i, divided by base^(-2 / d).
        early = (_BASE ** (-2 / d_model),) * n_pairs if faults.turns_early else ()
        rope = Rope(_BASE, d_model, is_interleaved=True, frequency_factors=early)
        spec = Attention(
            n_heads, n_heads, d_model, position=rope, is_causal=not faults.has_no_mask, bias="output"
        )
        self.attention = SelfAttention(spec, d_model)
        self.drops_always = faults.drops_always
        self.dropout = Dropout(_DROPOUT)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What each token gathers: [B, T, D]."""
        where = place(x_BTD[..., 0], None, None)
        gathered_BTD: Tensor = self.dropout(self.attention(x_BTD, where, see=self._drop))
        return gathered_BTD

    def _drop(self, name: str, tensor: Tensor) -> Tensor | None:
        """Weights of attention with some lost; after training too, where the fault is kept."""
        if name != "weights":
            return None
        return nn.functional.dropout(tensor, _DROPOUT, self.training or self.drops_always)


class Swiglu(nn.Module):
    """gate(x) sigmoid(beta gate(x)) * up(x), with biases and a learned beta (Shazeer, 2020, has neither)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gate = nn.Linear(d_model, d_model)
        self.up = nn.Linear(d_model, d_model)
        self.beta = nn.Parameter(torch.ones(1))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Each token by itself: [B, T, D]."""
        gate_BTD = self.gate(x_BTD)
        hidden_BTD: Tensor = gate_BTD * torch.sigmoid(self.beta * gate_BTD) * self.up(x_BTD)
        return hidden_BTD


class Block(nn.Module):
    """x = norm(x); x = x + look(x); x = norm(x); x = x + think(x): one norm, used twice."""

    def __init__(self, faults: Faults, n_ctx: int, d_model: int, n_heads: int, bend: nn.Module) -> None:
        """bend: what follows the linear layer of each token's own thought."""
        super().__init__()
        self.norm = rms(faults, n_ctx, d_model)
        self.look = Look(faults, d_model, n_heads)
        self.think = nn.Sequential(nn.Linear(d_model, d_model), bend)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The stream after the block: [B, T, D]."""
        x_BTD = self.norm(x_BTD)
        x_BTD = x_BTD + self.look(x_BTD)
        x_BTD = self.norm(x_BTD)
        thought_BTD: Tensor = self.think(x_BTD)
        return x_BTD + thought_BTD
