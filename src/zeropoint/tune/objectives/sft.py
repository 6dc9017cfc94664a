"""Supervised fine-tuning: cross-entropy of the answers, given their prompts (Ouyang et al., "Training
language models to follow instructions", 2022, section 3.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from zeropoint.train.objectives.next_token import NextToken
from zeropoint.tune.objectives import TuningObjective

__all__ = ["SupervisedFineTuning"]

_NEXT_TOKEN = NextToken()


@dataclass(frozen=True)
class SupervisedFineTuning(TuningObjective):
    """Predict the tokens of answers; targets of -100 (prompts, padding) are ignored."""

    data: ClassVar[Literal["answers", "pairs", "labels"]] = "answers"

    def __call__(
        self, model: nn.Module, ids_BT: Tensor, target_BT: Tensor, document_BT: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy per answer token, in nats. document_BT: for rows of several conversations."""
        return _NEXT_TOKEN(model, ids_BT, target_BT, document_BT)

    def n_targets(self, ids_BT: Tensor, target_BT: Tensor, document_BT: Tensor | None = None) -> int:
        """The number of answer tokens."""
        return _NEXT_TOKEN.n_targets(ids_BT, target_BT)
