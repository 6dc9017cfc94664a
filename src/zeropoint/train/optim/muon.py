"""Muon: a matrix moves by its momentum made orthogonal, so that every direction of it learns equally fast.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(https://kellerjordan.github.io/posts/muon). Only for what multiplies the residual stream; embeddings, the
head, gains and biases are AdamW's, as the source has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zeropoint.train.loop.precision import has_bfloat16
from zeropoint.train.optim.combined import Together
from zeropoint.train.optim.groups import decay_groups

__all__ = ["Muon", "orthogonal"]

_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the quintic iteration, from the source
_N_ITERATIONS = 5


@dataclass(frozen=True)
class Muon:
    """learning_rate: of matrices; adamw_lr: AdamW's, for the rest. Both take the schedule's shares.

    momentum: how long gradients are remembered, with Nesterov's look ahead. betas, eps: AdamW's.
    """

    learning_rate: float = 0.02
    momentum: float = 0.95
    weight_decay: float = 0.0
    adamw_lr: float = 3e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    adamw_weight_decay: float = 0.0

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer over a model's parameters."""
        learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in learning if _is_hidden(name, p)]
        rest = [p for name, p in learning if not _is_hidden(name, p)]
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            parts.append(_Muon(matrices, self.learning_rate, self.momentum, self.weight_decay))
        if rest:
            groups = decay_groups(rest, self.adamw_weight_decay)
            parts.append(
                torch.optim.AdamW(groups, lr=self.adamw_lr, betas=self.betas, eps=self.eps, fused=True)
            )
        return Together(*parts)


def _is_hidden(name: str, parameter: Tensor) -> bool:
    """Whether it multiplies the stream inside a block; a table that is looked up in does not."""
    return parameter.dim() >= 2 and name.startswith(("blocks.", "encoder.")) and "relative_bias" not in name


class _Muon(torch.optim.Optimizer):
    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float, decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Matrices of one shape go through the iteration together, as one batch of products."""
        for group in self.param_groups:
            alike: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append(matrix)
            for matrices in alike.values():
                self._step(matrices, group)

    def _step(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        gradients = [m.grad for m in matrices if m.grad is not None]
        momenta = [self._momentum(m) for m in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        updates = orthogonal(torch.stack(ahead))
        n_out, n_in = updates.shape[-2:]
        rate = group["lr"]
        weights: list[Tensor] = list(matrices)
        torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
        # A tall matrix has more outputs than directions; the source scales it up by the root of the ratio.
        torch._foreach_add_(weights, list(updates.unbind()), alpha=-rate * max(1.0, n_out / n_in) ** 0.5)

    def _momentum(self, matrix: nn.Parameter) -> Tensor:
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"]
        return momentum


def orthogonal(matrices: Tensor) -> Tensor:
    """Close to U V^T where a matrix is U S V^T, without computing those: [..., out, in], each on its own.

    A Newton-Schulz iteration whose singular values end between 0.7 and 1.2, which serves as well as 1.
    """
    x = matrices.bfloat16() if has_bfloat16(not matrices.is_cuda) else matrices.clone()
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_N_ITERATIONS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    made: Tensor = (x.mT if is_tall else x).type_as(matrices)
    return made
