"""What gradients tell: how long they are, which of them do nothing, and which tensor went bad first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zeropoint.errors import MachineError
from zeropoint.train.distributed.dtensor import full_tensor

__all__ = ["NotFinite", "clip_gradients", "first_bad", "largest", "near_zero"]


class NotFinite(MachineError):
    """A loss or gradient is NaN or infinite; the weights are those of before the step. Exit code 1."""


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], most: float | None) -> float:
    """The length of all gradients together; longer than `most`, they are shortened to it.

    Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    norm = float(full_tensor(torch.nn.utils.get_total_norm(gradients)))
    if most is not None and norm > most:
        torch._foreach_mul_(gradients, most / (norm + 1e-6))  # the 1e-6 is torch's own, for a norm of 0
    return norm


@torch.no_grad()
def near_zero(model: nn.Module, share: float) -> dict[str, float]:
    """For each parameter, how many of its gradients are below `share` of its largest one: from 0 to 1.

    Kitano, "Llama from scratch", looks at this to find layers that learn nothing. A parameter whose
    gradients are all 0 has 1.
    """
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            size = full_tensor(parameter.grad).abs()
            found[name] = float((size <= share * size.max()).float().mean())
    return found


@torch.no_grad()
def largest(model: nn.Module) -> str:
    """The parameter whose gradient is longest for its own length."""
    found = {
        name: float(full_tensor(p.grad).norm() / (full_tensor(p).norm() + 1e-12))
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    return max(found, key=lambda name: found[name])


def first_bad(model: nn.Module, compute: Callable[[], Any]) -> str:
    """Where a NaN or infinity came from: "the weight x", "what x gives" or "the gradient of x".

    compute: the forward pass that gave it, run once more with an ear at every module.
    """
    for name, parameter in model.named_parameters():
        if not _is_finite(parameter):
            return f"the weight {name}"
    bad: list[str] = []

    def listen(name: str) -> Callable[..., None]:
        def heard(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not _is_finite(output):
                bad.append(name)

        return heard

    hooks = [m.register_forward_hook(listen(name)) for name, m in model.named_modules() if name]
    try:
        with torch.no_grad():
            compute()
    finally:
        for hook in hooks:
            hook.remove()
    if bad:
        return f"what {bad[0]} gives"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not _is_finite(parameter.grad):
            return f"the gradient of {name}"
    return "the loss alone"


def _is_finite(tensor: Tensor) -> bool:
    return math.isfinite(float(full_tensor(tensor).abs().max())) if tensor.numel() else True
