"""Gated feed-forward: one matrix says what, another how much of it (Shazeer, "GLU Variants", 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import See, show

__all__ = ["Gated"]


class Gated(nn.Module):
    """down(activation(gate(x)) * up(x)): SwiGLU with silu (Llama), GeGLU with gelu (Gemma, T5 v1.1)."""

    def __init__(self, spec: specs.Gated, d_model: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.gate = nn.Linear(d_model, spec.d_ff, bias=False)
        self.up = nn.Linear(d_model, spec.d_ff, bias=False)
        self.down = nn.Linear(spec.d_ff, d_model, bias=False)

    def forward(self, x_BTD: Tensor, see: See | None = None) -> Tensor:
        """Each token by itself: [B, T, D]."""
        gate_BTF = show(see, "gate", self.gate(x_BTD))
        up_BTF = show(see, "up", self.up(x_BTD))
        hidden_BTF = show(see, "hidden", self.activation(gate_BTF) * up_BTF)
        return show(see, "output", self.down(hidden_BTF))
