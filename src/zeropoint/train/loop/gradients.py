"""Gradient diagnostics: near-zero gradients, the largest gradient, and the source of a NaN or infinity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from zeropoint.errors import MachineError
from zeropoint.train.distributed.dtensor import full_tensor

__all__ = ["NotFinite", "first_nonfinite", "largest_gradient", "near_zero_fractions"]


class NotFinite(MachineError):
    """The loss or a gradient is NaN or infinite; the weights are those before the step. Exit code 1."""


@torch.no_grad()
def near_zero_fractions(model: nn.Module, threshold: float) -> dict[str, float]:
    """For each parameter, the fraction of its gradient entries below `threshold` times the largest entry.

    Kitano, "Llama from scratch", uses it to find layers that do not learn. A parameter whose gradient is zero
    everywhere has 1.
    """
    fractions = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            magnitude = full_tensor(parameter.grad).abs()
            fractions[name] = float((magnitude <= threshold * magnitude.max()).float().mean())
    return fractions


@torch.no_grad()
def largest_gradient(model: nn.Module) -> str:
    """The parameter with the largest ratio of gradient norm to weight norm."""
    ratios = {
        name: float(full_tensor(p.grad).norm() / (full_tensor(p).norm() + 1e-12))
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    return max(ratios, key=lambda name: ratios[name])


def first_nonfinite(model: nn.Module, compute: Callable[[], Any]) -> str:
    """The source of a NaN or infinity: "the weight x", "the output of x" or "the gradient of x".

    compute: the forward pass that produced it; it runs once more, with a hook on every module.
    """
    for name, parameter in model.named_parameters():
        if not _is_finite(parameter):
            return f"the weight {name}"
    nonfinite: list[str] = []

    def hook_for(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not _is_finite(output):
                nonfinite.append(name)

        return hook

    handles = [m.register_forward_hook(hook_for(name)) for name, m in model.named_modules() if name]
    try:
        with torch.no_grad():
            compute()
    finally:
        for handle in handles:
            handle.remove()
    if nonfinite:
        return f"the output of {nonfinite[0]}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not _is_finite(parameter.grad):
            return f"the gradient of {name}"
    return "the loss itself"


def _is_finite(tensor: Tensor) -> bool:
    return math.isfinite(float(full_tensor(tensor).abs().max())) if tensor.numel() else True
