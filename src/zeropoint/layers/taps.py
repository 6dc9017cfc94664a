"""Taps and interventions: read or modify the intermediates of a forward pass.

A layer names its intermediates with `record(self.taps, query=q, key=k)` at the end of a step, and passes the
five values that an intervention may modify through `intervene(self.taps, "hidden", hidden)`. In a plain model
`taps` is None and both calls return at once.

`observe` attaches taps to a copy of a module, and leaves the module itself alone:

    tensors = {}
    observed = observe(model, tensors.__setitem__)  # shares the weights of `model`
    logits = observed(ids)
    tensors["blocks.0.attention.weights"]

Names are module paths joined with intermediates; `blueprint/taps.py` lists them with their shapes.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor, nn

from zeropoint.layers.norm import LayerNorm, RMSNorm

__all__ = ["Observer", "Tapped", "Taps", "intervene", "observe", "record", "renamed"]

Observer = Callable[[str, Tensor], object]
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Taps:
    """Who observes one module, and what modifies it.

    observer: called with the full name and the tensor. interventions: full name to a function of the tensor.
    path: of the module, as in "blocks.3.attention".
    """

    observer: Observer
    interventions: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    path: str = ""

    def name(self, intermediate: str) -> str:
        """The full name of an intermediate of this module."""
        return f"{self.path}.{intermediate}" if self.path else intermediate


class Tapped(nn.Module):
    """A layer that names its intermediates. taps: None, except in the copies that `observe` returns."""

    taps: Taps | None = None


def record(taps: Taps | None, **intermediates: Tensor | None) -> None:
    """Pass intermediates to the observer, if there is one; None means that this model does not have it."""
    if taps is not None:
        for name, tensor in intermediates.items():
            if tensor is not None:
                taps.observer(taps.name(name), tensor)


def intervene(taps: Taps | None, name: str, tensor: Tensor) -> Tensor:
    """The tensor to continue with: modified if there is an intervention at this point. Recorded, too."""
    if taps is None:
        return tensor
    intervention = taps.interventions.get(taps.name(name))
    tensor = tensor if intervention is None else intervention(tensor)
    taps.observer(taps.name(name), tensor)
    return tensor


def observe(
    module: Module, observer: Observer, interventions: Mapping[str, Callable[[Tensor], Tensor]] | None = None
) -> Module:
    """A copy of a module that shares its weights, reports its intermediates and applies interventions.

    The output of every norm is reported under the norm's path; the rest is what layers `record`.
    """
    return _copy(module, Taps(observer, interventions or {}))


def renamed(module: Module, path: str) -> Module:
    """The module, or if it is observed, a copy that reports under another path."""
    taps = getattr(module, "taps", None)
    return module if taps is None else _copy(module, Taps(taps.observer, taps.interventions, path))


def _copy(module: Module, taps: Taps) -> Module:
    twin = copy.copy(module)  # shallow: the same parameters
    children = {
        name: None
        if child is None
        else _copy(child, Taps(taps.observer, taps.interventions, taps.name(name)))
        for name, child in module._modules.items()
    }
    twin.__dict__ |= {"_modules": children, "_forward_hooks": OrderedDict(module._forward_hooks)}
    if isinstance(twin, Tapped):
        twin.taps = taps
    if isinstance(twin, RMSNorm | LayerNorm):
        twin.register_forward_hook(_reporter(taps))
    return twin


def _reporter(taps: Taps) -> Callable[[nn.Module, Any, Tensor], None]:
    def report(module: nn.Module, inputs: Any, output: Tensor) -> None:
        taps.observer(taps.path, output)

    return report
