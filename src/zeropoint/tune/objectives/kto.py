"""Kahneman-Tversky optimization (Ethayarajh et al., 2024): answers marked good or bad, without pairs.

    good: w_good (1 - sigmoid(beta (log p / r - z)))       bad: w_bad (1 - sigmoid(beta (z - log p / r)))

z estimates how far the model is from the reference, from answers to other prompts of the batch (section 4.1);
it is never negative and has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from zeropoint.options import option
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective

__all__ = ["Kto"]


@dataclass(frozen=True)
class Kto(TuningObjective):
    """Raise good answers and lower bad ones, relative to the reference."""

    data: ClassVar[Literal["answers", "pairs", "labels"]] = "labels"
    needs_reference: ClassVar[bool] = True

    beta: float = option(0.1, 0, None, "How strongly the reference holds the model.", is_open=True)
    good_weight: float = option(1.0, 0, None, "Weight of answers marked good.")
    bad_weight: float = option(1.0, 0, None, "Weight of answers marked bad.")

    def __call__(
        self, model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor, reference_B2: Tensor, is_good_B: Tensor
    ) -> Tensor:
        """Mean loss per answer. Each row has the answer, and the same prompt with another row's answer."""
        ratio_B2 = pair_logprobs(model, ids_B2T, target_B2T)[0] - reference_B2
        z = ratio_B2[:, 1].mean().clamp(min=0).detach()
        sign_B = is_good_B.float() * 2 - 1
        weight_B = torch.where(is_good_B.bool(), self.good_weight, self.bad_weight)
        return (weight_B * (1 - torch.sigmoid(self.beta * sign_B * (ratio_B2[:, 0] - z)))).mean()
