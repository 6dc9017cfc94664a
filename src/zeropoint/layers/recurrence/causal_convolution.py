"""A causal convolution per channel: each channel is a weighted sum of its own last few positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.layers.token_positions import TokenPositions

__all__ = ["CausalConvolution"]


class CausalConvolution(nn.Module):
    """y[t, d] = sum over k of weight[d, k] * x[t - W + 1 + k, d], plus a bias; weight [D, W].

    The columns before the first token are zero, so W - 1 of them are all the state it needs.
    """

    def __init__(self, d_channels: int, d_kernel: int, has_bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(d_channels, d_kernel).uniform_(-1, 1) * d_kernel**-0.5)
        self.bias = nn.Parameter(torch.zeros(d_channels)) if has_bias else None

    def forward(
        self, x_BTD: Tensor, columns_BDW: Tensor | None, positions: TokenPositions | None = None
    ) -> tuple[Tensor, Tensor]:
        """The output [B, T, D] and the last W - 1 columns, which the next call continues: [B, D, W - 1].

        columns_BDW: those that the previous call returned; None at the beginning of a text. positions: a
        column of another document counts as zero.
        """
        n_batch, n_tokens, d_channels = x_BTD.shape
        n_kept = self.weight.shape[1] - 1
        if columns_BDW is None:
            columns_BDW = x_BTD.new_zeros(n_batch, d_channels, n_kept)
        padded_BDS = torch.cat([columns_BDW, x_BTD.transpose(1, 2)], dim=2)
        if positions is None or positions.document_BT is None:
            y_BDT = F.conv1d(padded_BDS, self.weight[:, None], self.bias, groups=d_channels)
            return y_BDT.transpose(1, 2), padded_BDS[:, :, n_tokens:]
        y_BDT = x_BTD.new_zeros(n_batch, d_channels, n_tokens)
        for k in range(n_kept + 1):
            is_inside_BT = positions.positions_BT >= n_kept - k
            y_BDT = (
                y_BDT + self.weight[:, k, None] * padded_BDS[:, :, k : k + n_tokens] * is_inside_BT[:, None]
            )
        if self.bias is not None:
            y_BDT = y_BDT + self.bias[:, None]
        return y_BDT.transpose(1, 2), padded_BDS[:, :, n_tokens:]

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Draw from U(-1, 1) / sqrt(W): an output has the variance of its W inputs' mean."""
        drawn_DW = torch.empty(self.weight.shape).uniform_(-1, 1, generator=generator)
        self.weight.copy_(drawn_DW * self.weight.shape[1] ** -0.5)
