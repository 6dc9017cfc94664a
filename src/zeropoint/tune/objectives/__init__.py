"""What fine-tuning minimizes, one objective per file; the file's name is its name on the command line.

`TuningObjective` below is the contract; `train.loop.loop.train` runs any of them. Read `sft` (imitate
answers), `dpo` (prefer one answer to another, against a reference), its variants `ipo` and `kto`, then `orpo`
and `simpo`, which need no reference, and `reward` (a model that scores answers).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

__all__ = ["TuningObjective"]


class TuningObjective(ABC):
    """Subclasses are frozen dataclasses with `option` fields.

    data: "answers" (prompts with answers), "pairs" (a chosen and a rejected answer each) or "labels" (answers
    marked good or bad). needs_reference: reads log-probabilities of the model before tuning.
    """

    data: ClassVar[Literal["answers", "pairs", "labels"]] = "pairs"
    needs_reference: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, model: nn.Module, *batch: Any) -> Tensor:
        """The mean loss of a batch."""

    def n_targets(self, *batch: Any) -> int:
        """The weight of a batch's mean: by default the number of rows."""
        return len(batch[0])
