"""Gated feed-forward network: SwiGLU and GeGLU (Shazeer, "GLU Variants Improve Transformer", 2020).

output = down(activation(gate(x)) * up(x))
"""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import Tapped, intervene, record

__all__ = ["Gated"]


class Gated(Tapped):
    """SwiGLU with silu (Llama), GeGLU with gelu (Gemma, T5 v1.1)."""

    def __init__(self, spec: specs.Gated, d_model: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.gate = nn.Linear(d_model, spec.d_ff, bias=False)
        self.up = nn.Linear(d_model, spec.d_ff, bias=False)
        self.down = nn.Linear(spec.d_ff, d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Each token separately: [B, T, D]."""
        gate_BTF = self.gate(x_BTD)
        up_BTF = self.up(x_BTD)
        hidden_BTF = intervene(self.taps, "hidden", self.activation(gate_BTF) * up_BTF)
        output_BTD: Tensor = self.down(hidden_BTF)
        record(self.taps, gate=gate_BTF, up=up_BTF, output=output_BTD)
        return output_BTD
