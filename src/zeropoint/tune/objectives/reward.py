"""A reward model: score answers so that the chosen one of a pair wins (Bradley and Terry, 1952; Ouyang et
al., 2022, section 3.5).

    p(chosen beats rejected) = sigmoid(reward(chosen) - reward(rejected)),    loss = -log p
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.data.batches import IGNORED
from zeropoint.models.decoder import Decoder
from zeropoint.tune.objectives import TuningObjective

__all__ = ["Reward", "RewardModel"]


@dataclass(frozen=True)
class Reward(TuningObjective):
    """Train a `RewardModel` on pairs."""

    def __call__(
        self, model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor, reference_B2: Tensor | None = None
    ) -> Tensor:
        """Mean loss per pair. reference_B2 is not used."""
        reward_B2 = model(ids_B2T.flatten(0, 1), target_B2T.flatten(0, 1)).view(-1, 2)
        return -F.logsigmoid(reward_B2[:, 0] - reward_B2[:, 1]).mean()


class RewardModel(nn.Module):
    """A decoder with one output in place of the vocabulary, read at the end of the answer.

    Attach adapters of linear layers to the decoder before; the new output `value` is trained as well.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.value = nn.Linear(decoder.blueprint.d_model, 1)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)

    def forward(self, ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        """The reward of each row [B], read where the last target is predicted."""
        hidden_BTD = self.decoder.hidden(ids_BT)
        position_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
        last_B = torch.where(target_BT != IGNORED, position_T, 0).amax(1)
        reward_B1: Tensor = self.value(hidden_BTD[torch.arange(len(ids_BT), device=ids_BT.device), last_B])
        return reward_B1[:, 0]
