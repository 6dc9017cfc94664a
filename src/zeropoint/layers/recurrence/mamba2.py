"""Mamba-2: a state-space model whose decay, input and output depend on the token (Dao and Gu, 2024).

z, x, B, C, dt = input(x);  x, B, C = silu(conv(x, B, C));  output(norm(scan(x, B, C, dt) * silu(z)))
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.recurrence import Mamba2
from zeropoint.layers.cache import StateCache
from zeropoint.layers.recurrence import RecurrentLayer
from zeropoint.layers.recurrence.causal_convolution import CausalConvolution
from zeropoint.layers.recurrence.state_space import scan_by_chunk, scan_by_token
from zeropoint.layers.taps import record
from zeropoint.layers.token_positions import TokenPositions, without_padding

__all__ = ["GroupedRMSNorm", "StateSpace", "layer"]

_MIN_CHUNKED = 32  # tokens from which matrix products are faster than one token after another


class StateSpace(RecurrentLayer):
    """input [z, x, B, C, dt; D], convolution over x, B and C, one decay rate and skip weight per head."""

    def __init__(self, spec: Mamba2, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        d_input = spec.d_inner + spec.d_convolved + spec.n_heads
        self.input = nn.Linear(d_model, d_input, bias=spec.has_bias)
        self.convolution = CausalConvolution(spec.d_convolved, spec.d_kernel, spec.has_convolution_bias)
        self.step_bias = nn.Parameter(torch.zeros(spec.n_heads))
        self.decay_log = nn.Parameter(torch.zeros(spec.n_heads))
        self.skip = nn.Parameter(torch.ones(spec.n_heads))
        self.norm = GroupedRMSNorm(spec.d_inner, spec.n_groups, spec.norm_eps)
        self.output = nn.Linear(spec.d_inner, d_model, bias=spec.has_bias)

    def forward(
        self, x_BTD: Tensor, positions: TokenPositions | None = None, cache: StateCache | None = None
    ) -> Tensor:
        """The output [B, T, D]; arguments as in `RecurrentLayer.forward`."""
        spec, state = self.spec, None if cache is None else cache.read()
        input_BTI = self.input(without_padding(x_BTD, positions))
        gate_BTE, mixed_BTC, step_BTH = input_BTI.split((spec.d_inner, spec.d_convolved, spec.n_heads), -1)
        convolved_BTC, columns_BCW = self.convolution(
            without_padding(mixed_BTC, positions), state and state["columns"], positions
        )
        mixed_BTC = without_padding(F.silu(convolved_BTC), positions)
        scan_BTE, matrices_BHPS = self.scan(
            mixed_BTC,
            without_padding(F.softplus(step_BTH + self.step_bias), positions),
            None if state is None else state["matrices"],
            positions,
        )
        if cache is not None:
            cache.write({"columns": columns_BCW, "matrices": matrices_BHPS}, x_BTD.shape[1])
        norm_BTE = self.norm(scan_BTE * F.silu(gate_BTE))
        output_BTD: Tensor = self.output(norm_BTE)
        record(
            self.taps,
            input=input_BTI,
            convolution=mixed_BTC,
            scan=scan_BTE,
            norm=norm_BTE,
            output=output_BTD,
        )
        return output_BTD

    def scan(
        self,
        mixed_BTC: Tensor,
        step_BTH: Tensor,
        state_BHPS: Tensor | None,
        positions: TokenPositions | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The heads' outputs [B, T, E], and the state after the last token.

        mixed_BTC: x, B and C. step_BTH: how far a token moves the state; 0 leaves it as it is (padding).
        """
        spec = self.spec
        n_batch, n_tokens, n_groups_states = *mixed_BTC.shape[:2], spec.n_groups * spec.d_state
        x_BTE, b_BTG, c_BTG = torch.split(mixed_BTC, [spec.d_inner, n_groups_states, n_groups_states], dim=-1)
        x_BTHP = x_BTE.reshape(n_batch, n_tokens, spec.n_heads, spec.d_head)
        n_sharing = spec.n_heads // spec.n_groups
        b_BTHS, c_BTHS = (
            shared.reshape(n_batch, n_tokens, spec.n_groups, spec.d_state).repeat_interleave(n_sharing, dim=2)
            for shared in (b_BTG, c_BTG)
        )
        exponent_BTH = -self.decay_log.exp() * step_BTH  # of each token's decay
        if positions is not None and positions.document_BT is not None:
            starts_BT1 = positions.positions_BT[..., None] == 0
            exponent_BTH = exponent_BTH.masked_fill(starts_BT1, -torch.inf)
        if state_BHPS is None:
            state_BHPS = x_BTE.new_zeros(n_batch, spec.n_heads, spec.d_head, spec.d_state)
        scan = scan_by_chunk if n_tokens >= _MIN_CHUNKED else scan_by_token
        y_BTHP, state_BHPS = scan(step_BTH[..., None] * x_BTHP, exponent_BTH, b_BTHS, c_BTHS, state_BHPS)
        y_BTHP = y_BTHP + self.skip[:, None] * x_BTHP
        return y_BTHP.flatten(2), state_BHPS

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Steps from 0.001 to 0.1 and decay rates from 1 to 16, as the authors' code draws them."""
        n_heads = self.spec.n_heads
        low, high = math.log(0.001), math.log(0.1)
        step_H = torch.empty(n_heads).uniform_(low, high, generator=generator).exp()
        self.step_bias.copy_(step_H + torch.log(-torch.expm1(-step_H)))  # the inverse of softplus
        self.decay_log.copy_(torch.empty(n_heads).uniform_(1, 16, generator=generator).log())
        self.convolution.initialize(generator)


class GroupedRMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, with a mean for each of n_groups equal parts of the last axis."""

    def __init__(self, width: int, n_groups: int, eps: float) -> None:
        super().__init__()
        self.n_groups = n_groups
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, computed in float32."""
        groups = x.float().reshape(*x.shape[:-1], self.n_groups, -1)
        normalized = groups * torch.rsqrt(groups.square().mean(-1, keepdim=True) + self.eps)
        scaled: Tensor = normalized.flatten(-2) * self.weight
        return scaled.type_as(x)


layer = StateSpace
