"""Checkpoint averaging: the mean weights of several checkpoints often generalize better than the last ones.

Vaswani et al., 2017, section 6.1, average the last 5 checkpoints of the base model and the last 20 of the big
one. `WeightAverage` keeps a running mean, so that every step can contribute (Polyak and Juditsky, 1992).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from zeropoint.errors import BadInput

__all__ = ["WeightAverage", "average_weights"]


class WeightAverage:
    """Running mean of the weights of checkpoints."""

    def __init__(self) -> None:
        self.n = 0
        self._means: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}

    @torch.no_grad()
    def add(self, weights: Mapping[str, Tensor]) -> None:
        """Add a checkpoint. Raises BadInput if a name or shape differs from the first checkpoint."""
        if self.n == 0:
            self._dtypes = {name: weight.dtype for name, weight in weights.items()}
            self._means = {
                name: torch.zeros_like(w, dtype=_accumulator_dtype(w)) for name, w in weights.items()
            }
        means = self._means
        mismatched = set(means).symmetric_difference(weights) or {
            n for n in means if means[n].shape != weights[n].shape
        }
        if mismatched:
            raise BadInput(
                f"checkpoint {self.n} differs from checkpoint 0 in {min(mismatched)}; average checkpoints "
                "of one model"
            )
        self.n += 1
        for name, weight in weights.items():
            means[name].lerp_(weight.to(means[name].dtype), 1 / self.n)  # mean + (weight - mean) / n

    def weights(self) -> dict[str, Tensor]:
        """The means, in the dtypes of the first checkpoint. Raises BadInput if none was added."""
        if self.n == 0:
            raise BadInput("there is no checkpoint to average; give one or more")
        return {name: mean.to(self._dtypes[name], copy=True) for name, mean in self._means.items()}


def _accumulator_dtype(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def average_weights(checkpoints: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over all checkpoints; one that is listed twice counts twice.

    Raises BadInput for an empty list, and for names or shapes that differ.
    """
    average = WeightAverage()
    for weights in checkpoints:
        average.add(weights)
    return average.weights()
