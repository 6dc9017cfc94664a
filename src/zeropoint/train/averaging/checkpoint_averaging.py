"""Average the weights of several checkpoints: often better than the last one alone.

Vaswani et al., 2017, section 6.1: the last 5 checkpoints of a base model, the last 20 of a big one. `Average`
takes one at a time and keeps only their mean, so that every step may be a checkpoint (Polyak and Juditsky,
1992).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from zeropoint.errors import BadInput

__all__ = ["Average", "average_weights"]


class Average:
    """The mean of each weight over the checkpoints that it was shown."""

    def __init__(self) -> None:
        self.n = 0
        self._means: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}

    @torch.no_grad()
    def add(self, weights: Mapping[str, Tensor]) -> None:
        """Count these in. Raises BadInput where a name or shape is not as in the first checkpoint."""
        if self.n == 0:
            self._dtypes = {name: weight.dtype for name, weight in weights.items()}
            self._means = {name: torch.zeros_like(w, dtype=_at_least_32(w)) for name, w in weights.items()}
        means = self._means
        odd = set(means).symmetric_difference(weights) or {
            n for n in means if means[n].shape != weights[n].shape
        }
        if odd:
            raise BadInput(
                f"checkpoint {self.n} differs from checkpoint 0 in {min(odd)}; average those of one model"
            )
        self.n += 1
        for name, weight in weights.items():
            means[name].lerp_(weight.to(means[name].dtype), 1 / self.n)  # mean + (weight - mean) / n

    def weights(self) -> dict[str, Tensor]:
        """The means, in the first checkpoint's types. Raises BadInput before any was added."""
        if self.n == 0:
            raise BadInput("there is no checkpoint to average; give one or more")
        return {name: mean.to(self._dtypes[name], copy=True) for name, mean in self._means.items()}


def _at_least_32(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def average_weights(checkpoints: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over all checkpoints, each taken as often as it is named.

    Raises BadInput for none, and where a name or shape of one is missing in another.
    """
    average = Average()
    for weights in checkpoints:
        average.add(weights)
    return average.weights()
