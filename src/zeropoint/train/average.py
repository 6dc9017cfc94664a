"""Average the weights of several checkpoints: often better than the last one alone.

Vaswani et al., 2017, section 6.1: the last 5 checkpoints of a base model, the last 20 of a big one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zeropoint.errors import BadInput

__all__ = ["average_weights"]


def average_weights(checkpoints: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over all checkpoints, each taken as often as it is named.

    Raises BadInput where a name or shape of one is missing in another.
    """
    if not checkpoints:
        raise BadInput("there is no checkpoint to average; give one or more")
    first = checkpoints[0]
    for i, other in enumerate(checkpoints):
        odd = set(first).symmetric_difference(other) or {n for n in first if first[n].shape != other[n].shape}
        if odd:
            raise BadInput(
                f"checkpoint {i} differs from checkpoint 0 in {min(odd)}; average those of one model"
            )
    # Added in float64, so that the order of the checkpoints does not show.
    return {
        name: torch.stack([other[name].double() for other in checkpoints]).mean(0).to(weight.dtype)
        for name, weight in first.items()
    }
