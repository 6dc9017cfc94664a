"""Gated DeltaNet: a memory of fixed size that each token corrects, instead of keys and values of all tokens
(Yang, Kautz, Hatamizadeh, 2024; three of four blocks of Qwen 3.5).

q, k, v = silu(convolution(qkv(x)));  output(norm(delta_rule(q, k, v)) * silu(gate(x)))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.norm import RMSNorm as RMSNormSpec
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet
from zeropoint.layers.cache import State, StateCache
from zeropoint.layers.norm import RMSNorm
from zeropoint.layers.recurrence import RecurrentLayer
from zeropoint.layers.recurrence.causal_convolution import CausalConvolution
from zeropoint.layers.recurrence.delta_rule import Tokens, by_chunk, by_token
from zeropoint.layers.taps import record
from zeropoint.layers.token_positions import TokenPositions, without_padding

__all__ = ["DeltaNet", "HeadRMSNorm", "layer"]

_FEW_TOKENS = 4  # up to this many, token by token is faster
_KEY_EPS = 1e-6  # of the length of queries and keys


class DeltaNet(RecurrentLayer):
    """qkv and its convolution, gate, alpha (bias: of its softplus), beta, one decay rate per head, output."""

    def __init__(self, spec: GatedDeltaNet, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.qkv = nn.Linear(d_model, spec.d_channels, bias=False)
        self.gate = nn.Linear(d_model, spec.d_values, bias=False)
        self.alpha = nn.Linear(d_model, spec.n_value_heads)
        self.beta = nn.Linear(d_model, spec.n_value_heads, bias=False)
        self.decay_log = nn.Parameter(torch.zeros(spec.n_value_heads))
        self.convolution = CausalConvolution(spec.d_channels, spec.d_kernel, has_bias=False)
        self.norm = HeadRMSNorm(RMSNormSpec(spec.norm_eps), spec.d_value)
        self.output = nn.Linear(spec.d_values, d_model, bias=False)

    def forward(
        self, x_BTD: Tensor, positions: TokenPositions | None = None, cache: StateCache | None = None
    ) -> Tensor:
        """The output [B, T, D]; arguments as in `RecurrentLayer.forward`."""
        x_BTD = without_padding(x_BTD, positions)
        state = self.initial_state(x_BTD) if cache is None else cache.read() or self.initial_state(x_BTD)
        qkv_BTE = self.qkv(x_BTD)
        convolved_BTE, columns_BEW = self.convolution(qkv_BTE, state["columns"], positions)
        mixed_BTE = F.silu(convolved_BTE)
        decay_log_BTH = -self.decay_log.exp() * F.softplus(self.alpha(x_BTD))
        beta_BTH = torch.sigmoid(self.beta(x_BTD))
        record(self.taps, qkv=qkv_BTE, convolution=mixed_BTE, alpha=decay_log_BTH.exp(), beta=beta_BTH)

        tokens = self.tokens(mixed_BTE, beta_BTH, decay_log_BTH, positions)
        rule = by_token if x_BTD.shape[1] <= _FEW_TOKENS else by_chunk
        context_BHTV, memory_BHKV = rule(tokens, state["memory"])
        if cache is not None:
            cache.write({"columns": columns_BEW, "memory": memory_BHKV}, x_BTD.shape[1])

        context_BTE, gate_BTE = context_BHTV.transpose(1, 2).flatten(2), self.gate(x_BTD)
        gated_BTE = self.norm(context_BTE).type_as(gate_BTE) * F.silu(gate_BTE)
        output_BTD: Tensor = self.output(gated_BTE)
        record(self.taps, context=context_BTE, gate=gate_BTE, gated=gated_BTE, output=output_BTD)
        return output_BTD

    def initial_state(self, x_BTD: Tensor) -> State:
        """The state before the first token: zeros."""
        n_batch, _, d_model = x_BTD.shape
        return {name: x_BTD.new_zeros(n_batch, *shape) for name, shape in self.spec.state(d_model)}

    def tokens(
        self, mixed_BTE: Tensor, beta_BTH: Tensor, decay_log_BTH: Tensor, positions: TokenPositions | None
    ) -> Tokens:
        """What the delta rule reads, in float32, with a query and a key of length 1 for each value head."""
        spec, n_new = self.spec, mixed_BTE.shape[1]
        widths = [spec.d_keys, spec.d_keys, spec.d_values]
        q, k, v = torch.split(mixed_BTE.float(), widths, dim=-1)
        q, k = (self.for_value_heads(unit_length(x.reshape(*x.shape[:2], -1, spec.d_key))) for x in (q, k))
        v_BTHV = v.reshape(*v.shape[:2], -1, spec.d_value)
        begins_BT = None
        if positions is not None and positions.padding_mask_BS is not None:
            is_token_BT1 = positions.padding_mask_BS[:, -n_new:, None]
            beta_BTH, decay_log_BTH = beta_BTH * is_token_BT1, decay_log_BTH * is_token_BT1
        if positions is not None and positions.document_BT is not None:
            begins_BT = positions.positions_BT == 0
        return Tokens(
            (q * spec.d_key**-0.5).transpose(1, 2),
            k.transpose(1, 2),
            v_BTHV.transpose(1, 2),
            beta_BTH.float().transpose(1, 2),
            decay_log_BTH.float().transpose(1, 2),
            begins_BT,
        )

    def for_value_heads(self, x_BTNK: Tensor) -> Tensor:
        """The query or key head of each value head: [B, T, H, K]."""
        n_each = self.spec.n_value_heads // self.spec.n_key_heads
        if self.spec.has_tiled_heads:
            return x_BTNK.repeat(1, 1, n_each, 1)
        return x_BTNK.repeat_interleave(n_each, dim=2)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Decay rates from 0.01 to 16, as transformers draws them."""
        self.alpha.bias.fill_(1)
        self.decay_log.copy_(torch.empty(len(self.decay_log)).uniform_(0.01, 16, generator=generator).log())
        self.convolution.initialize(generator)


class HeadRMSNorm(RMSNorm):
    """RMSNorm of each part of the last axis that is as wide as the gain, which all parts share."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return super().forward(x.reshape(*x.shape[:-1], -1, self.width)).flatten(-2)


def unit_length(x: Tensor) -> Tensor:
    """x divided by the length of its last axis."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + _KEY_EPS)


layer = DeltaNet
