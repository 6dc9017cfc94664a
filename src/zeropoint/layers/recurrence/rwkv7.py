"""The time mix of RWKV-7 "Goose": a matrix per head, corrected by a delta rule (Peng et al., 2025).

S = S diag(w) - (S kappa) (a * kappa)^T + v k^T;   y = S r
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.recurrence import Rwkv7
from zeropoint.layers.cache import StateCache
from zeropoint.layers.recurrence import Shared, SharingLayer
from zeropoint.layers.recurrence.token_shift import previous_tokens
from zeropoint.layers.taps import record
from zeropoint.layers.token_positions import TokenPositions, without_padding

__all__ = ["BiasedLowRank", "LowRank", "TimeMix", "layer", "scan"]

_SLOWEST = math.exp(-0.5)  # w = exp(-exp(-0.5) sigmoid(...)) is at least 0.545


class TimeMix(SharingLayer):
    """receptance, key, value, output [D, D]; projections through narrow layers for w, a, v and g."""

    def __init__(self, spec: Rwkv7, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.n_heads = d_model // spec.d_head
        self.shift = nn.Parameter(torch.full((6, d_model), 0.5))
        self.receptance = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.decay = BiasedLowRank(d_model, spec.decay_rank, torch.tanh)
        self.rate = BiasedLowRank(d_model, spec.rate_rank)
        self.first_value = BiasedLowRank(d_model, spec.value_rank) if spec.value_rank else None
        self.gate = LowRank(d_model, spec.gate_rank, torch.sigmoid)
        self.removal_scale = nn.Parameter(torch.ones(d_model))
        self.replacement_scale = nn.Parameter(torch.ones(d_model))
        self.bonus = nn.Parameter(torch.zeros(d_model))
        self.norm = nn.GroupNorm(self.n_heads, d_model, spec.norm_eps)
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        positions: TokenPositions | None = None,
        cache: StateCache | None = None,
        shared: Shared | None = None,
    ) -> Tensor:
        """The output [B, T, D]; arguments as in `RecurrentLayer.forward`.

        shared: the first block leaves its values here, and later ones mix them into theirs.
        """
        state = None if cache is None else cache.read()
        x_BTD = without_padding(x_BTD, positions)
        difference_BTD = previous_tokens(x_BTD, None if state is None else state["last"], positions) - x_BTD
        r, w, k, v, a, g = (x_BTD + difference_BTD * self.shift[i] for i in range(6))
        receptance_BTD, key_BTD, value_BTD = self.receptance(r), self.key(k), self.value(v)
        if self.first_value is not None and shared:
            share_BTD = torch.sigmoid(self.first_value(v))
            value_BTD = value_BTD + share_BTD * (shared["value"] - value_BTD)
        elif shared is not None:
            shared["value"] = value_BTD
        decay_BTD = torch.exp(-_SLOWEST * torch.sigmoid(self.decay(w)))
        rate_BTD, gate_BTD = torch.sigmoid(self.rate(a)), self.gate(g)
        removal_BTHK = F.normalize(self.heads(key_BTD * self.removal_scale), dim=-1, eps=1e-12)
        key_BTD = key_BTD + key_BTD * (rate_BTD - 1) * self.replacement_scale

        decay_BTHK, removal_rate_BTHK = self.at_borders(
            self.heads(decay_BTD), self.heads(rate_BTD), positions
        )
        scan_BTHV, matrices_BHVK = scan(
            self.heads(receptance_BTD),
            decay_BTHK,
            removal_BTHK,
            removal_rate_BTHK,
            self.heads(without_padding(key_BTD, positions)),
            self.heads(without_padding(value_BTD, positions)),
            x_BTD.new_zeros(len(x_BTD), self.n_heads, self.spec.d_head, self.spec.d_head)
            if state is None
            else state["matrices"],
        )
        if cache is not None:
            cache.write({"last": x_BTD[:, -1], "matrices": matrices_BHVK}, x_BTD.shape[1])
        norm_BTD = self.norm(scan_BTHV.flatten(2).flatten(0, 1)).view_as(x_BTD)
        own_BTH1 = self.heads(receptance_BTD * key_BTD * self.bonus).sum(-1, keepdim=True)
        y_BTD = norm_BTD + (own_BTH1 * self.heads(value_BTD)).flatten(2)
        output_BTD: Tensor = self.output(y_BTD * gate_BTD)
        record(
            self.taps,
            receptance=receptance_BTD,
            key=key_BTD,
            value=value_BTD,
            decay=decay_BTD,
            rate=rate_BTD,
            gate=gate_BTD,
            scan=scan_BTHV.flatten(2),
            norm=norm_BTD,
            output=output_BTD,
        )
        return output_BTD

    def heads(self, x_BTD: Tensor) -> Tensor:
        """[B, T, H, K]."""
        return x_BTD.reshape(*x_BTD.shape[:2], self.n_heads, self.spec.d_head)

    def at_borders(
        self, decay_BTHK: Tensor, rate_BTHK: Tensor, positions: TokenPositions | None
    ) -> tuple[Tensor, Tensor]:
        """The decay and the rate of removal: 1 and 0 for padding, which leaves the state as it is; 0 and 0
        where a document begins, with an empty state.
        """
        if positions is not None and positions.padding_mask_BS is not None:
            is_padding_BT11 = ~positions.padding_mask_BS[:, -decay_BTHK.shape[1] :, None, None]
            decay_BTHK = decay_BTHK.masked_fill(is_padding_BT11, 1)
            rate_BTHK = rate_BTHK.masked_fill(is_padding_BT11, 0)
        if positions is not None and positions.document_BT is not None:
            is_inside_BT11 = (positions.positions_BT > 0)[:, :, None, None]
            decay_BTHK, rate_BTHK = decay_BTHK * is_inside_BT11, rate_BTHK * is_inside_BT11
        return decay_BTHK, rate_BTHK

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """As the authors' code, apart from what depends on the layer: slow and fast decays by column."""
        d_model = len(self.bonus)
        column_D = torch.arange(d_model) / max(d_model - 1, 1)
        for i, exponent in enumerate((0.2, 0.9, 0.7, 0.7, 0.9, 0.2)):
            self.shift[i] = 1 - column_D**exponent
        self.decay.bias.copy_(-5.5 + 6 * column_D**1.5)
        self.rate.bias.copy_(-0.19 + 0.4 * (column_D - 0.5))
        self.removal_scale.copy_(0.71 - 0.1 * (column_D - 0.5))
        self.replacement_scale.fill_(1.02)
        self.bonus.fill_(-0.04)
        if self.first_value is not None:
            self.first_value.bias.copy_(0.73 - 0.4 * (column_D - 0.5))


class LowRank(nn.Module):
    """up(activation(down(x))): a D x D projection through a narrow layer of `rank` columns."""

    def __init__(self, d_model: int, rank: int, activation: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.activation = activation
        self.down = nn.Linear(d_model, rank, bias=False)
        self.up = nn.Linear(rank, d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape."""
        narrow_BTR = self.down(x_BTD)
        y_BTD: Tensor = self.up(narrow_BTR if self.activation is None else self.activation(narrow_BTR))
        return y_BTD


class BiasedLowRank(LowRank):
    """up(activation(down(x))) + bias."""

    def __init__(self, d_model: int, rank: int, activation: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__(d_model, rank, activation)
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Same shape."""
        return super().forward(x_BTD) + self.bias


def scan(
    receptance_BTHK: Tensor,
    decay_BTHK: Tensor,
    removal_BTHK: Tensor,
    rate_BTHK: Tensor,
    key_BTHK: Tensor,
    value_BTHV: Tensor,
    state_BHVK: Tensor,
) -> tuple[Tensor, Tensor]:
    """What each token reads from the state [B, T, H, V], and the state after the last one."""
    outputs = []
    for t in range(receptance_BTHK.shape[1]):
        removal_BH1K, rate_BH1K = removal_BTHK[:, t, :, None], rate_BTHK[:, t, :, None]
        removed_BHV1 = (state_BHVK * removal_BH1K).sum(-1, keepdim=True)
        added_BHVK = value_BTHV[:, t, :, :, None] * key_BTHK[:, t, :, None]
        state_BHVK = (
            state_BHVK * decay_BTHK[:, t, :, None] - removed_BHV1 * (rate_BH1K * removal_BH1K) + added_BHVK
        )
        outputs.append((state_BHVK * receptance_BTHK[:, t, :, None]).sum(-1))
    return torch.stack(outputs, dim=1), state_BHVK


layer = TimeMix
