"""Gated feed-forward network: SwiGLU and GeGLU (Shazeer, "GLU Variants Improve Transformer", 2020).

output = down(activation(gate(x)) * up(x))

gpt-oss limits gate and up to a fixed range and adds 1 to up, which is then neutral at 0 (`gate_with`).
"""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import Tapped, intervene, record

__all__ = ["Gated", "gate_with"]


class Gated(Tapped):
    """SwiGLU with silu (Llama), GeGLU with gelu (Gemma, T5 v1.1)."""

    def __init__(self, spec: specs.Gated, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.gate = nn.Linear(d_model, spec.d_ff, bias=spec.has_bias)
        self.up = nn.Linear(d_model, spec.d_ff, bias=spec.has_bias)
        self.down = nn.Linear(spec.d_ff, d_model, bias=spec.has_bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Each token separately: [B, T, D]."""
        gate_BTF = self.gate(x_BTD)
        up_BTF = self.up(x_BTD)
        hidden_BTF = intervene(self.taps, "hidden", gate_with(self.spec, gate_BTF, up_BTF))
        output_BTD: Tensor = self.down(hidden_BTF)
        record(self.taps, gate=gate_BTF, up=up_BTF, output=output_BTD)
        return output_BTD


def gate_with(spec: specs.Gated, gate: Tensor, up: Tensor) -> Tensor:
    """activation(gate) * (up + offset), both limited first if the spec says so. Same shape."""
    if spec.limit is not None:
        gate, up = gate.clamp(max=spec.limit), up.clamp(-spec.limit, spec.limit)
    if spec.up_offset:
        up = up + spec.up_offset
    return ACTIVATIONS[spec.activation](gate) * up
