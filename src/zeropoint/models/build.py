"""From a blueprint to a torch module, and weights in and out of it by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zeropoint.blueprint import Blueprint
from zeropoint.errors import BadModelFile
from zeropoint.models.decoder import Decoder
from zeropoint.models.encoder import Encoder
from zeropoint.models.initialize import initialize
from zeropoint.models.seq2seq import Seq2Seq

__all__ = ["build", "load", "weights_of"]


def build(
    blueprint: Blueprint, *, seed: int | None = 0, dropout: float = 0.0, attention_dropout: float = 0.0
) -> Decoder | Encoder | Seq2Seq:
    """The module of a blueprint, in float32, its parameters named as in `blueprint.tensors.parameters`.

    seed: of its initial weights (`initialize`); None leaves torch's own, for weights that `load` will bring.
    dropout, attention_dropout: of what each part adds and of attention's weights, while training.
    """
    kind = Seq2Seq if blueprint.encoder else Decoder if blueprint.is_decoder else Encoder
    # Layers of torch draw their first weights from a generator that belongs to the caller.
    with torch.random.fork_rng(devices=[]):
        module = kind(blueprint, dropout, attention_dropout)
    if seed is not None:
        initialize(module, seed)
    return module


@torch.no_grad()
def load(module: nn.Module, weights: Mapping[str, NDArray[Any]], name: str = "the weights") -> None:
    """Copy weights into the module, each by its name, one at a time.

    Every parameter is filled and every weight used, else BadModelFile naming them before anything is copied;
    a wrong shape is found when its turn comes. name: what to call the weights in an error.
    """
    parameters = dict(module.named_parameters())
    if missing := parameters.keys() - weights.keys():
        raise BadModelFile(f"{name}: no tensor for {_some(missing)}, which the blueprint has")
    if unused := weights.keys() - parameters.keys():
        raise BadModelFile(f"{name}: the blueprint has no place for {_some(unused)}")
    for key, parameter in parameters.items():
        array = weights[key]
        if tuple(array.shape) != tuple(parameter.shape):
            raise BadModelFile(
                f"{name}: {key} is {tuple(array.shape)}; the blueprint has {tuple(parameter.shape)}"
            )
        parameter.copy_(torch.from_numpy(np.array(array, dtype=np.float32)))


def weights_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The module's weights by name, float32; they share its memory where it lies on the CPU in float32."""
    return {name: p.detach().float().cpu().numpy() for name, p in module.named_parameters()}


def _some(names: Iterable[str]) -> str:
    """The first few, in order, and how many more."""
    listed = sorted(names)
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return ", ".join(listed[:4]) + more
