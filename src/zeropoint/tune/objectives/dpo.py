"""Direct preference optimization (Rafailov et al., 2023): the model is its own reward model.

    loss = -log sigmoid(beta (log p(chosen) / r(chosen) - log p(rejected) / r(rejected)))

r is the model before tuning. With label smoothing, a share of the preferences counts as wrong (cDPO).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.options import option
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective

__all__ = ["Dpo"]


@dataclass(frozen=True)
class Dpo(TuningObjective):
    """Raise chosen answers over rejected ones, near the reference."""

    needs_reference: ClassVar[bool] = True

    beta: float = option(0.1, 0, None, "How strongly the reference holds the model.", is_open=True)
    label_smoothing: float = option(0.0, 0, 0.5, "Share of preferences that are wrong.", is_open_above=True)

    def __call__(self, model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor, reference_B2: Tensor) -> Tensor:
        """Mean loss per pair. reference_B2: log-probabilities of both answers by the reference."""
        sum_B2, _ = pair_logprobs(model, ids_B2T, target_B2T)
        ratio_B2 = sum_B2 - reference_B2
        margin_B = self.beta * (ratio_B2[:, 0] - ratio_B2[:, 1])
        wrong = self.label_smoothing
        return -((1 - wrong) * F.logsigmoid(margin_B) + wrong * F.logsigmoid(-margin_B)).mean()
