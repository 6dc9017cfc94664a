"""Muon: momentum whose update is orthogonalized, so that every direction of a matrix learns equally fast.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024
(https://kellerjordan.github.io/posts/muon). It updates the matrices inside blocks; as in the source, AdamW
updates embeddings, the output head, gains and biases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zeropoint.options import option
from zeropoint.train.loop.precision import has_bfloat16
from zeropoint.train.optim import OptimizerSpec
from zeropoint.train.optim._combined import Combined
from zeropoint.train.optim._decay_groups import decay_groups, is_matrix

__all__ = ["Muon", "orthogonalize"]

_A, _B, _C = 3.4445, -4.7750, 2.0315  # coefficients of the quintic iteration, from the source
_N_ITERATIONS = 5


@dataclass(frozen=True)
class Muon(OptimizerSpec):
    """Muon for the matrices inside blocks, AdamW for the rest; the schedule multiplies both rates."""

    needs_full_matrices: ClassVar[bool] = True

    learning_rate: float = option(0.02, 0, None, "Peak learning rate of the matrices.", is_open=True)
    momentum: float = option(
        0.95, 0, 1, "Decay rate of the gradient average, with Nesterov momentum.", is_open_above=True
    )
    weight_decay: float = option(
        0.0, 0, None, "Weight decay of the matrices, per step and relative to the learning rate."
    )
    adamw_lr: float = option(3e-3, 0, None, "Peak learning rate of all other weights (AdamW).", is_open=True)
    betas: tuple[float, float] = option(
        (0.9, 0.95), 0, 1, "AdamW's decay rates of the first and second moment.", is_open_above=True
    )
    eps: float = option(1e-8, 0, None, "AdamW's term for numerical stability.", is_open=True)
    adamw_weight_decay: float = option(0.0, 0, None, "Weight decay of the weights that AdamW updates.")

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The torch optimizer over the trainable parameters of a model."""
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trainable if _is_hidden(name, p)]
        rest = [(name, p) for name, p in trainable if not _is_hidden(name, p)]
        parts: list[torch.optim.Optimizer] = []
        if matrices:
            parts.append(_Muon(matrices, self.learning_rate, self.momentum, self.weight_decay))
        if rest:
            groups = decay_groups(rest, self.adamw_weight_decay)
            parts.append(
                torch.optim.AdamW(groups, lr=self.adamw_lr, betas=self.betas, eps=self.eps, fused=True)
            )
        return Combined(*parts)


def _is_hidden(name: str, parameter: Tensor) -> bool:
    """Whether a weight is a matrix inside a block; embedding tables are looked up, not multiplied."""
    is_inside = name.startswith(("blocks.", "encoder.")) and "relative_bias" not in name
    return is_inside and is_matrix(name, parameter)


class _Muon(torch.optim.Optimizer):
    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float, decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step; matrices of the same shape are orthogonalized together, as one batched product."""
        for group in self.param_groups:
            by_shape: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    by_shape[matrix.shape].append(matrix)
            for matrices in by_shape.values():
                self._step(matrices, group)

    def _step(self, matrices: list[nn.Parameter], group: dict[str, Any]) -> None:
        gradients = [m.grad for m in matrices if m.grad is not None]
        momenta = [self._momentum(m) for m in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, momenta, group["momentum"])
        updates = orthogonalize(torch.stack(nesterov))
        n_out, n_in = updates.shape[-2:]
        rate = group["lr"]
        weights: list[Tensor] = list(matrices)
        torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
        # As in the source: scale up matrices with more outputs than inputs by the square root of the ratio.
        torch._foreach_add_(weights, list(updates.unbind()), alpha=-rate * max(1.0, n_out / n_in) ** 0.5)

    def _momentum(self, matrix: nn.Parameter) -> Tensor:
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"]
        return momentum


def orthogonalize(matrices: Tensor) -> Tensor:
    """Approximate U V^T of each matrix U S V^T, [..., out, in], without a singular value decomposition.

    Newton-Schulz iteration; singular values end between 0.7 and 1.2, which trains as well as exactly 1.
    """
    x = matrices.bfloat16() if has_bfloat16(not matrices.is_cuda) else matrices.clone()
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_N_ITERATIONS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    orthogonal: Tensor = (x.mT if is_tall else x).type_as(matrices)
    return orthogonal
