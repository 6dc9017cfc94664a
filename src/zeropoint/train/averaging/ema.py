"""A moving average of the weights: single steps swing, their mean does not.

Polyak and Juditsky, 1992; the form in which recent weights count most is that of Szegedy et al., "Rethinking
the Inception Architecture", 2016, section 8.
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
        """Count the weights after `step` in. Early steps count less long: the first weights mean nothing."""
        decay = min(self.decay, (1 + step) / (10 + step))  # as TensorFlow's num_updates has it
        weights = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Go on from an average that was saved."""
        for name, tensor in self.average.items():
            tensor.copy_(shard_like(average[name], tensor))

    @contextlib.contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Let the model have the averaged weights for a while."""
        with torch.no_grad():
            own = {name: p.detach().clone() for name, p in model.named_parameters()}
            _put(model, self.average)
            try:
                yield
            finally:
                _put(model, own)


def _put(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])
