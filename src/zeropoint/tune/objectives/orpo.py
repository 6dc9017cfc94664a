"""Odds ratio preference optimization (Hong et al., "ORPO", 2024): fine-tuning and preference in one step.

    loss = -log p(chosen) - weight log sigmoid(log odds(chosen) - log odds(rejected)),    odds = p / (1 - p)

p is the geometric mean probability of a token, so lengths do not matter; no reference is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.options import option
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective

__all__ = ["Orpo"]


@dataclass(frozen=True)
class Orpo(TuningObjective):
    """Imitate chosen answers, and prefer them to rejected ones."""

    weight: float = option(0.1, 0, None, "Weight of the preference (lambda in the paper).")

    def __call__(
        self, model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor, reference_B2: Tensor | None = None
    ) -> Tensor:
        """Mean loss per pair. reference_B2 is not used."""
        sum_B2, count_B2 = pair_logprobs(model, ids_B2T, target_B2T)
        mean_B2 = sum_B2 / count_B2
        # log(1 - p); the clamp keeps it finite for an answer of probability 1.
        log_odds_B2 = mean_B2 - torch.log1p(-torch.exp(mean_B2.clamp(max=-1e-6)))
        preference_B = F.logsigmoid(log_odds_B2[:, 0] - log_odds_B2[:, 1])
        return (-mean_B2[:, 0] - self.weight * preference_B).mean()
