"""Optimizers, one per file; the file's name is `optimizer.kind` in a configuration.

`OptimizerSpec` below is the contract. To add one, write a frozen dataclass that derives from it in a new file
of this folder. Read `adamw` first, then `muon`, which combines two optimizers (`_combined`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

__all__ = ["OptimizerSpec"]


class OptimizerSpec(ABC):
    """Hyperparameters of an optimizer. Subclasses are frozen dataclasses with `option` fields.

    needs_full_matrices: updates depend on whole weight matrices, so FSDP cannot shard them.
    """

    needs_full_matrices: ClassVar[bool] = False

    @abstractmethod
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The torch optimizer over the trainable parameters of a model."""
