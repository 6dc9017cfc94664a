"""Build the torch module for a blueprint; load weights into it, and read them back, by name."""

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
    """The module for a blueprint, in float32, with parameters named as in `blueprint.tensors.parameters`.

    seed: for weight initialization (`initialize`); None keeps torch's defaults, for a module that `load`
    fills. dropout: on the embedding sum and on each sublayer's output, attention_dropout: on attention
    weights, while training.
    """
    kind = Seq2Seq if blueprint.encoder else Decoder if blueprint.is_decoder else Encoder
    # torch's layers draw their initial weights from the caller's generator; leave its state unchanged.
    with torch.random.fork_rng(devices=[]):
        module = kind(blueprint, dropout, attention_dropout)
    if seed is not None:
        initialize(module, seed)
    return module


@torch.no_grad()
def load(module: nn.Module, weights: Mapping[str, NDArray[Any]], name: str = "the weights") -> None:
    """Copy weights into the module by name, one at a time.

    name: what error messages call the weights. Raises BadModelFile before copying anything if a parameter has
    no weight or a weight no parameter, and during copying for a wrong shape.
    """
    parameters = dict(module.named_parameters())
    if missing := parameters.keys() - weights.keys():
        raise BadModelFile(f"{name}: no tensor for {_some(missing)}, which the blueprint requires")
    if unused := weights.keys() - parameters.keys():
        raise BadModelFile(f"{name}: the blueprint has no parameter for {_some(unused)}")
    for key, parameter in parameters.items():
        array = weights[key]
        if tuple(array.shape) != tuple(parameter.shape):
            raise BadModelFile(
                f"{name}: {key} is {tuple(array.shape)}; the blueprint requires {tuple(parameter.shape)}"
            )
        parameter.copy_(torch.from_numpy(np.array(array, dtype=np.float32)))


def weights_of(module: nn.Module) -> dict[str, NDArray[np.float32]]:
    """The weights by name, float32; a float32 module on the CPU shares its memory with them."""
    return {name: p.detach().float().cpu().numpy() for name, p in module.named_parameters()}


def _some(names: Iterable[str]) -> str:
    """The first four names in order, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
    return ", ".join(listed[:4]) + more
