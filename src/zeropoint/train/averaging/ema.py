"""Exponential moving average (EMA) of the weights, which smooths out the noise of single steps.

Polyak and Juditsky, 1992; the exponential form is that of Szegedy et al., "Rethinking the Inception
Architecture", 2016, section 8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from zeropoint.train.distributed.dtensor import shard_like

__all__ = ["EMA"]


class EMA:
    """average = decay * average + (1 - decay) * weights, after every step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Include the weights after `step`.

        Early steps use a smaller decay, to forget the initial weights soon.
        """
        decay = min(self.decay, (1 + step) / (10 + step))  # as with TensorFlow's num_updates
        weights = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Continue from a saved average."""
        for name, tensor in self.average.items():
            tensor.copy_(shard_like(average[name], tensor))

    @contextlib.contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model holds the averaged weights; its own are restored afterwards."""
        with torch.no_grad():
            own = {name: p.detach().clone() for name, p in model.named_parameters()}
            _set_weights(model, self.average)
            try:
                yield
            finally:
                _set_weights(model, own)


def _set_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
