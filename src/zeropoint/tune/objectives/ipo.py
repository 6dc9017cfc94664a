"""Identity preference optimization (Azar et al., "A General Theoretical Paradigm", 2023, equation 17).

    loss = (log p(chosen) / r(chosen) - log p(rejected) / r(rejected) - 1 / (2 beta))^2

DPO pushes certain preferences without end; a square has a finite goal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from zeropoint.options import option
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective

__all__ = ["Ipo"]


@dataclass(frozen=True)
class Ipo(TuningObjective):
    """Bring the margin between both answers to 1 / (2 beta)."""

    needs_reference: ClassVar[bool] = True

    beta: float = option(0.1, 0, None, "How strongly the reference holds the model.", is_open=True)

    def __call__(self, model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor, reference_B2: Tensor) -> Tensor:
        """Mean loss per pair."""
        ratio_B2 = pair_logprobs(model, ids_B2T, target_B2T)[0] - reference_B2
        return ((ratio_B2[:, 0] - ratio_B2[:, 1] - 1 / (2 * self.beta)) ** 2).mean()
