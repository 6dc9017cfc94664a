"""Average the weights of several checkpoints: often better than the last one alone.

Vaswani et al., 2017, section 6.1: the last 5 checkpoints of a base model, the last 20 of a big one. `Average`
takes one at a time and keeps only their sum, so that every step may be a checkpoint (Polyak and Juditsky,
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
        self._sums: dict[str, Tensor] = {}
        self._dtypes: dict[str, torch.dtype] = {}

    @torch.no_grad()
    def add(self, weights: Mapping[str, Tensor]) -> None:
        """Count these in. Raises BadInput where a name or shape is not as in the first checkpoint."""
        if self.n == 0:
            # Added in float64, so that the order of the checkpoints does not show.
            self._sums = {name: torch.zeros_like(w, dtype=torch.float64) for name, w in weights.items()}
            self._dtypes = {name: w.dtype for name, w in weights.items()}
        sums = self._sums
        odd = set(sums).symmetric_difference(weights) or {
            n for n in sums if sums[n].shape != weights[n].shape
        }
        if odd:
            raise BadInput(
                f"checkpoint {self.n} differs from checkpoint 0 in {min(odd)}; average those of one model"
            )
        for name, weight in weights.items():
            sums[name] += weight
        self.n += 1

    def weights(self) -> dict[str, Tensor]:
        """The means, in the first checkpoint's types. Raises BadInput before any was added."""
        if self.n == 0:
            raise BadInput("there is no checkpoint to average; give one or more")
        return {name: (total / self.n).to(self._dtypes[name]) for name, total in self._sums.items()}


def average_weights(checkpoints: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over all checkpoints, each taken as often as it is named.

    Raises BadInput for none, and where a name or shape of one is missing in another.
    """
    average = Average()
    for weights in checkpoints:
        average.add(weights)
    return average.weights()
