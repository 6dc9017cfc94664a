"""The feed-forward network of RWKV-7, which also reads the token before (Peng et al., 2025).

output = down(relu(up(x + shift * (previous - x)))^2)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.cache import StateCache
from zeropoint.layers.recurrence.token_shift import previous_tokens
from zeropoint.layers.taps import Tapped, intervene, record
from zeropoint.layers.token_positions import TokenPositions, without_padding

__all__ = ["ChannelMix"]


class ChannelMix(Tapped):
    """Two matrices, and the share of the token before for each column."""

    def __init__(self, spec: specs.ChannelMix, d_model: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.full((d_model,), 0.5))
        self.up = nn.Linear(d_model, spec.d_ff, bias=False)
        self.down = nn.Linear(spec.d_ff, d_model, bias=False)

    def forward(
        self, x_BTD: Tensor, positions: TokenPositions | None = None, cache: StateCache | None = None
    ) -> Tensor:
        """[B, T, D]. cache: the last vector of the previous call, which x continues."""
        state = None if cache is None else cache.read()
        x_BTD = without_padding(x_BTD, positions)
        previous_BTD = previous_tokens(x_BTD, None if state is None else state["last"], positions)
        if cache is not None:
            cache.write({"last": x_BTD[:, -1]}, x_BTD.shape[1])
        up_BTF = self.up(x_BTD + self.shift * (previous_BTD - x_BTD))
        hidden_BTF = intervene(self.taps, "hidden", F.relu(up_BTF).square())
        output_BTD: Tensor = self.down(hidden_BTF)
        record(self.taps, up=up_BTF, output=output_BTD)
        return output_BTD
