"""Per-layer inputs (Gemma 4): a second, wide embedding gives every block a small vector for each token.

    input_l = (norm_l(W e / sqrt(d_model)) + sqrt(P) table[token]_l) / sqrt(2)
    x = x + norm(projection(activation(gate(x)) * input_l))

The table is large, but a token reads one row of it, so it need not be in fast memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts import per_layer as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import Tapped, record

__all__ = ["PerLayerInput", "PerLayerTable", "per_layer_inputs"]


class PerLayerTable(nn.Module):
    """The second embedding: `weight` [V, L * P]."""

    def __init__(self, n_vocab: int, n_layers: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_vocab, n_layers * width))


def per_layer_inputs(token_BTLP: Tensor, projected_BTLP: Tensor, norm: nn.Module, d_model: int) -> Tensor:
    """The inputs of all blocks, [B, T, L, P], from the rows of the table and the projected embedding."""
    normed_BTLP: Tensor = norm(projected_BTLP * d_model**-0.5)
    scaled_BTLP = token_BTLP * token_BTLP.shape[-1] ** 0.5
    inputs_BTLP: Tensor = (normed_BTLP + scaled_BTLP) * 0.5**0.5
    return inputs_BTLP


class PerLayerInput(Tapped):
    """What a block adds because of its input, before the norm."""

    def __init__(self, spec: specs.PerLayerInput, d_model: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.gate = nn.Linear(d_model, spec.width, bias=False)
        self.projection = nn.Linear(spec.width, d_model, bias=False)

    def forward(self, x_BTD: Tensor, input_BTP: Tensor) -> Tensor:
        """Each token separately: [B, T, D]."""
        gate_BTP = self.gate(x_BTD)
        hidden_BTP = self.activation(gate_BTP) * input_BTP
        output_BTD: Tensor = self.projection(hidden_BTP)
        record(self.taps, gate=gate_BTP, hidden=hidden_BTP, output=output_BTD)
        return output_BTD
