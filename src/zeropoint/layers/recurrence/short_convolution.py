"""The gated short convolution of LFM2: most blocks look at three positions only (Liquid AI, 2025).

B, C, x = input(x);  output(C * conv(B * x))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.recurrence import ShortConvolution
from zeropoint.layers.cache import StateCache
from zeropoint.layers.recurrence import RecurrentLayer
from zeropoint.layers.recurrence.causal_convolution import CausalConvolution
from zeropoint.layers.taps import record
from zeropoint.layers.token_positions import TokenPositions, without_padding

__all__ = ["GatedConvolution", "layer"]


class GatedConvolution(RecurrentLayer):
    """input [3 * D, D], convolution [D, kernel], output [D, D]."""

    def __init__(self, spec: ShortConvolution, d_model: int) -> None:
        super().__init__()
        self.input = nn.Linear(d_model, 3 * d_model, bias=spec.has_bias)
        self.convolution = CausalConvolution(d_model, spec.d_kernel, spec.has_bias)
        self.output = nn.Linear(d_model, d_model, bias=spec.has_bias)

    def forward(
        self, x_BTD: Tensor, positions: TokenPositions | None = None, cache: StateCache | None = None
    ) -> Tensor:
        """The output [B, T, D]; arguments as in `RecurrentLayer.forward`."""
        state = None if cache is None else cache.read()
        input_BTE = self.input(without_padding(x_BTD, positions))
        gate_BTD, output_gate_BTD, value_BTD = input_BTE.chunk(3, dim=-1)
        convolved_BTD, columns_BDW = self.convolution(
            without_padding(gate_BTD * value_BTD, positions), state and state["columns"], positions
        )
        if cache is not None:
            cache.write({"columns": columns_BDW}, x_BTD.shape[1])
        output_BTD: Tensor = self.output(output_gate_BTD * convolved_BTD)
        record(self.taps, input=input_BTE, convolution=convolved_BTD, output=output_BTD)
        return output_BTD

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the convolution's weights."""
        self.convolution.initialize(generator)


layer = GatedConvolution
