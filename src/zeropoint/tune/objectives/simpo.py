"""Simple preference optimization (Meng et al., "SimPO", 2024): DPO without a reference.

    loss = -log sigmoid(beta (log p(chosen) / |chosen| - log p(rejected) / |rejected|) - gamma)

The reward is what generation maximizes, the mean log-probability of a token; gamma is the margin it wants.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.options import option
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective

__all__ = ["Simpo"]


@dataclass(frozen=True)
class Simpo(TuningObjective):
    """Raise the mean log-probability of chosen answers over that of rejected ones."""

    beta: float = option(2.0, 0, None, "Scale of the rewards.", is_open=True)
    gamma: float = option(1.0, 0, None, "Margin between the rewards of both answers.")

    def __call__(
        self, model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor, reference_B2: Tensor | None = None
    ) -> Tensor:
        """Mean loss per pair. reference_B2 is not used."""
        sum_B2, count_B2 = pair_logprobs(model, ids_B2T, target_B2T)
        reward_B2 = self.beta * sum_B2 / count_B2
        return -F.logsigmoid(reward_B2[:, 0] - reward_B2[:, 1] - self.gamma).mean()
