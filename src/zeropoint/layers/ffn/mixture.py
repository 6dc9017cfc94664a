"""Mixture of experts: many feed-forward networks, of which each token uses a few (Jiang et al., "Mixtral",
2024).

    y = sum over the A chosen experts e of w_e * expert_e(x)

A router computes softmax(W x) over the experts; the A largest probabilities choose the experts and weight
their outputs (Shazeer et al., "Outrageously Large Neural Networks", 2017, section 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.gated import Gated, gate_with
from zeropoint.layers.taps import Tapped, record

__all__ = ["Experts", "MixtureOfExperts", "StackedMatrices", "route"]


class MixtureOfExperts(Tapped):
    """A router [E, D] and the experts' matrices, stacked as [E, out, in]. Axis M: tokens of all rows.

    The router and the experts may have biases (gpt-oss); `shared` is a network for all tokens (Granite 4).
    """

    def __init__(self, spec: specs.MixtureOfExperts, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.router = nn.Linear(d_model, spec.n_experts, bias=spec.has_router_bias)
        self.experts = Experts(spec, d_model)
        self.shared = None if spec.shared is None else Gated(spec.shared, d_model)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Each token separately: [B, T, D]. Runs one expert after another, on the tokens that chose it."""
        weights_BTE = self.expert_weights(x_BTD)
        x_MD, weights_ME = x_BTD.flatten(0, 1), weights_BTE.flatten(0, 1)
        y_MD = torch.zeros_like(x_MD)
        for e in range(self.spec.n_experts):
            chosen = weights_ME[:, e].nonzero().squeeze(-1)
            if len(chosen):
                y = weights_ME[chosen, e, None] * self.experts.forward_one(e, x_MD[chosen])
                y_MD = y_MD.index_add(0, chosen, y.type_as(y_MD))
        output_BTD = self.plus_shared(y_MD.view_as(x_BTD), x_BTD)
        record(self.taps, output=output_BTD)
        return output_BTD

    def forward_dense(self, x_BTD: Tensor) -> Tensor:
        """The same result without a loop: every expert reads every token.

        E / A times the arithmetic, but no shape depends on the data.
        """
        y_BTD = torch.einsum("bte,bted->btd", self.expert_weights(x_BTD), self.experts.forward_all(x_BTD))
        return self.plus_shared(y_BTD, x_BTD)

    def plus_shared(self, y_BTD: Tensor, x_BTD: Tensor) -> Tensor:
        """The experts' output and that of the shared network, if there is one."""
        return y_BTD if self.shared is None else y_BTD + self.shared(x_BTD)

    def expert_weights(self, x_BTD: Tensor) -> Tensor:
        """Weight of each expert for each token: [B, T, E], 0 for experts that were not chosen."""
        logits_BTE = self.router(x_BTD)
        weights_BTE = route(logits_BTE, self.spec)
        record(self.taps, router=logits_BTE, router_weights=weights_BTE)
        return weights_BTE


def route(logits_BTE: Tensor, spec: specs.MixtureOfExperts) -> Tensor:
    """Softmax over all experts; keep the n_active largest, rescaled to sum to 1 if the spec says so."""
    probability_BTE = F.softmax(logits_BTE.float(), dim=-1)
    top_BTA, chosen_BTA = probability_BTE.topk(spec.n_active, dim=-1)
    if spec.has_renormalized_weights:
        top_BTA = top_BTA / top_BTA.sum(-1, keepdim=True)
    return torch.zeros_like(probability_BTE).scatter(-1, chosen_BTA, top_BTA).type_as(logits_BTE)


class Experts(nn.Module):
    """E gated networks of equal size."""

    def __init__(self, spec: specs.MixtureOfExperts, d_model: int) -> None:
        super().__init__()
        self.spec = spec.expert
        n, d_ff, has_bias = spec.n_experts, spec.expert.d_ff, spec.expert.has_bias
        self.gate = StackedMatrices(n, d_ff, d_model, has_bias)
        self.up = StackedMatrices(n, d_ff, d_model, has_bias)
        self.down = StackedMatrices(n, d_model, d_ff, has_bias)

    def forward_one(self, e: int, x_MD: Tensor) -> Tensor:
        """Expert e on some tokens: [M, D]."""
        hidden_MF = gate_with(self.spec, self.gate.one(e, x_MD), self.up.one(e, x_MD))
        return self.down.one(e, hidden_MF)

    def forward_all(self, x_BTD: Tensor) -> Tensor:
        """Every expert on every token: [B, T, E, D]."""
        x_BTED = x_BTD[:, :, None]
        hidden_BTEF = gate_with(self.spec, self.gate.all(x_BTED), self.up.all(x_BTED))
        return self.down.all(hidden_BTEF)


class StackedMatrices(nn.Module):
    """One matrix per expert, in a single tensor: `weight` [E, out, in], and `bias` [E, out] or None."""

    def __init__(self, n_experts: int, n_out: int, n_in: int, has_bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_experts, n_out, n_in) * n_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_experts, n_out)) if has_bias else None

    def one(self, e: int, x_MI: Tensor) -> Tensor:
        """Expert e on some tokens: [M, in] -> [M, out]."""
        return F.linear(x_MI, self.weight[e], None if self.bias is None else self.bias[e])

    def all(self, x_BTEI: Tensor) -> Tensor:
        """Every expert on its row: [B, T, E or 1, in] -> [B, T, E, out]."""
        y_BTEO = torch.einsum("btei,eoi->bteo", x_BTEI.expand(-1, -1, len(self.weight), -1), self.weight)
        return y_BTEO if self.bias is None else y_BTEO + self.bias
