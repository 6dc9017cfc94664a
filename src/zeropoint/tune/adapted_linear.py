"""A linear layer with an adapter: it owns the layer's weight and bias, under their old names.

`merge` writes the adapted matrix over the weight, so that the model runs at its old speed and can be stored
as an ordinary model; `unmerge` restores the old weight bit for bit, from a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from zeropoint.errors import BadInput

__all__ = ["AdaptedLinear", "LinearTargets", "merge", "merged_weights", "replace_linear", "unmerge"]

ALL = "all"
LinearTargets = tuple[str, ...]
"""Ends of module names ("query", "ffn.down"), or "all" for every linear layer of the blocks."""


class AdaptedLinear(nn.Linear):
    """Base class of linear layers with an adapter. Subclasses give `merged_weight`."""

    def __init__(self, base: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        self.weight, self.bias = base.weight, base.bias
        self.unmerged: Tensor | None = None

    @property
    def is_merged(self) -> bool:
        """Whether the weight contains the adapter."""
        return self.unmerged is not None

    def merged_weight(self) -> Tensor:
        """The matrix [out, in] that computes the same as weight and adapter together; BadInput if none."""
        raise BadInput(f"{type(self).__name__} is not a matrix and cannot be merged; keep the adapter")


def replace_linear(
    model: nn.Module, targets: LinearTargets, make: Callable[[str, nn.Linear], AdaptedLinear]
) -> list[str]:
    """Replace the linear layers that `targets` select by `make(name, layer)`; return their names.

    Raises BadInput for a target that selects nothing, and for a model that has an adapter already.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.startswith("blocks.")}
    if adapted := [name for name, layer in layers.items() if isinstance(layer, AdaptedLinear)]:
        raise BadInput(f"{adapted[0]} has an adapter already; load the model again before attaching another")
    for target in targets:
        if not any(_matches(name, target) for name in layers):
            known = ", ".join(sorted({".".join(name.split(".")[2:]) for name in layers}))
            raise BadInput(f"targets: no linear layer is called {target}; choose from all, {known}")
    chosen = [name for name in layers if any(_matches(name, target) for target in targets)]
    for name in chosen:
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, make(name, layers[name]))
    return chosen


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Write every adapter into its weight; a merged layer stays as it is.

    Raises BadInput, before anything changes, for an adapter that is not a matrix.
    """
    for layer, weight in [(layer, layer.merged_weight()) for layer in _adapted(model) if not layer.is_merged]:
        layer.unmerged = layer.weight.detach().clone()
        layer.weight.copy_(weight)


@torch.no_grad()
def unmerge(model: nn.Module) -> None:
    """Restore the weights from before `merge`, bit for bit."""
    for layer in _adapted(model):
        if layer.unmerged is not None:
            layer.weight.copy_(layer.unmerged)
            layer.unmerged = None


def merged_weights(model: nn.Module) -> dict[str, Tensor]:
    """The matrices that the adapters change, merged: our tensor name to [out, in]; the model is unchanged."""
    merged = {}
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, AdaptedLinear):
                merged[f"{name}.weight"] = layer.weight if layer.is_merged else layer.merged_weight()
    return {name: weight.detach() for name, weight in merged.items()}


def _adapted(model: nn.Module) -> Sequence[AdaptedLinear]:
    return [layer for layer in model.modules() if isinstance(layer, AdaptedLinear)]


def _matches(name: str, target: str) -> bool:
    return target == ALL or name == target or name.endswith(f".{target}")
