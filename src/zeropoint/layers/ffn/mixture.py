"""A mixture of experts: many networks, of which each token meets a few (Jiang et al., "Mixtral", 2024).

y = sum over the A chosen experts e of w_e * expert_e(x), where the router's softmax(W x) says which A are
largest and what they weigh (Shazeer et al., "Outrageously Large Neural Networks", 2017, section 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import See, show

__all__ = ["Experts", "MixtureOfExperts", "Stacked", "route"]


class MixtureOfExperts(nn.Module):
    """The router, and the experts' matrices stacked: [E, out, in]."""

    def __init__(self, spec: specs.MixtureOfExperts, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.router = nn.Linear(d_model, spec.n_experts, bias=False)
        self.experts = Experts(spec, d_model)

    def forward(self, x_BTD: Tensor, see: See | None = None) -> Tensor:
        """Each token by itself: [B, T, D]. One expert after the other, on the tokens that chose it."""
        weights_BTE = self.weights(x_BTD, see)
        x_MD, weights_ME = x_BTD.flatten(0, 1), weights_BTE.flatten(0, 1)
        y_MD = torch.zeros_like(x_MD)
        for e in range(self.spec.n_experts):
            chosen = weights_ME[:, e].nonzero().squeeze(-1)
            if len(chosen):
                y = weights_ME[chosen, e, None] * self.experts.one(e, x_MD[chosen])
                y_MD = y_MD.index_add(0, chosen, y.type_as(y_MD))
        return show(see, "output", y_MD.view_as(x_BTD))

    def all_at_once(self, x_BTD: Tensor) -> Tensor:
        """The same numbers with no loop and no choice of rows: every expert reads every token.

        E / A times the arithmetic, but shapes that do not depend on the data.
        """
        return torch.einsum("bte,bted->btd", self.weights(x_BTD), self.experts.every(x_BTD))

    def weights(self, x_BTD: Tensor, see: See | None = None) -> Tensor:
        """What each expert weighs for each token: [B, T, E], 0 for those not chosen."""
        logits_BTE = show(see, "router", self.router(x_BTD))
        return show(see, "router_weights", route(logits_BTE, self.spec))


def route(logits_BTE: Tensor, spec: specs.MixtureOfExperts) -> Tensor:
    """Softmax over all experts; the n_active largest are kept, and scaled to sum to 1 if the spec says so."""
    probability_BTE = F.softmax(logits_BTE.float(), dim=-1)
    kept_BTA, chosen_BTA = probability_BTE.topk(spec.n_active, dim=-1)
    if spec.has_renormalized_weights:
        kept_BTA = kept_BTA / kept_BTA.sum(-1, keepdim=True)
    return torch.zeros_like(probability_BTE).scatter(-1, chosen_BTA, kept_BTA).type_as(logits_BTE)


class Experts(nn.Module):
    """E gated networks of equal size."""

    def __init__(self, spec: specs.MixtureOfExperts, d_model: int) -> None:
        super().__init__()
        n, d_ff = spec.n_experts, spec.expert.d_ff
        self.activation = ACTIVATIONS[spec.expert.activation]
        self.gate = Stacked(n, d_ff, d_model)
        self.up = Stacked(n, d_ff, d_model)
        self.down = Stacked(n, d_model, d_ff)

    def one(self, e: int, x_MD: Tensor) -> Tensor:
        """Expert e on some tokens: [M, D]."""
        gate_MF = self.activation(F.linear(x_MD, self.gate.weight[e]))
        return F.linear(gate_MF * F.linear(x_MD, self.up.weight[e]), self.down.weight[e])

    def every(self, x_BTD: Tensor) -> Tensor:
        """Every expert on every token: [B, T, E, D]."""
        gate_BTEF = self.activation(torch.einsum("btd,efd->btef", x_BTD, self.gate.weight))
        up_BTEF = torch.einsum("btd,efd->btef", x_BTD, self.up.weight)
        return torch.einsum("btef,edf->bted", gate_BTEF * up_BTEF, self.down.weight)


class Stacked(nn.Module):
    """The matrices of all experts in one tensor, `weight` [E, out, in]."""

    def __init__(self, n_experts: int, n_out: int, n_in: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_experts, n_out, n_in) * n_in**-0.5)
