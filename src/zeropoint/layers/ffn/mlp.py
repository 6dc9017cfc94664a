"""The feed-forward network of the first transformers (Vaswani et al., 2017, section 3.3).

output = down(activation(up(x)))
"""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import Tapped, intervene, record

__all__ = ["MLP"]


class MLP(Tapped):
    """Two matrices with an activation between them (GPT-2, BERT, phi-2)."""

    def __init__(self, spec: specs.MLP, d_model: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.up = nn.Linear(d_model, spec.d_ff, bias=spec.has_bias)
        self.down = nn.Linear(spec.d_ff, d_model, bias=spec.has_bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Each token separately: [B, T, D]."""
        up_BTF = self.up(x_BTD)
        hidden_BTF = intervene(self.taps, "hidden", self.activation(up_BTF))
        output_BTD: Tensor = self.down(hidden_BTF)
        record(self.taps, up=up_BTF, output=output_BTD)
        return output_BTD
