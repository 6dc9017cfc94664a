"""Walks whose dummy declares its settings with `option`: training objective, optimizer, schedule, engine
option."""

from __future__ import annotations

from tests.support.walks import Edit, Walk

__all__ = ["OPTION_WALKS"]

_OBJECTIVE = '''"""Next-token loss with a temperature (a dummy)."""

from dataclasses import dataclass

from torch.nn import functional as F

from zeropoint.options import option
from zeropoint.train.objectives import Objective


@dataclass(frozen=True)
class Tempered(Objective):
    temperature: float = option(2.0, 0, 10, "Logits are divided by this.", is_open=True)

    def __call__(self, model, ids_BT, next_BT):
        logits_NV = model(ids_BT).flatten(0, 1).float() / self.temperature
        return F.cross_entropy(logits_NV, next_BT.flatten())

    def n_targets(self, ids_BT, next_BT):
        return next_BT.numel()
'''

_OPTIMIZER = '''"""Gradient descent without state (a dummy)."""

from dataclasses import dataclass

import torch

from zeropoint.options import option
from zeropoint.train.optim import OptimizerSpec


@dataclass(frozen=True)
class PlainSGD(OptimizerSpec):
    learning_rate: float = option(0.1, 0, None, "Step size.", is_open=True)

    def build(self, model):
        return torch.optim.SGD(model.parameters(), lr=self.learning_rate)
'''

_SCHEDULE = '''"""The learning rate falls in equal steps (a dummy)."""

from dataclasses import dataclass

from zeropoint.options import MAX_INT, option
from zeropoint.train.schedules import Schedule


@dataclass(frozen=True)
class Staircase(Schedule):
    every: int = option(2, 1, MAX_INT, "Steps between two falls.")

    def __call__(self, step):
        return 0.5 ** (step // self.every)
'''

_ENGINE_FIELD = """    label: str | None = option(None, help="A label for the model.", type=str)
"""

OPTION_WALKS = {
    "training objective": Walk(2, {"src/zeropoint/train/objectives/tempered.py": _OBJECTIVE}, n_tests=1),
    "optimizer": Walk(2, {"src/zeropoint/train/optim/plain_sgd.py": _OPTIMIZER}, n_tests=1),
    "schedule": Walk(2, {"src/zeropoint/train/schedules/staircase.py": _SCHEDULE}, n_tests=1),
    "engine option": Walk(
        3,
        {
            "src/zeropoint/engine_options.py": (
                Edit("    def __post_init__(self) -> None:", _ENGINE_FIELD),
                Edit("    template: str | None\n", "    label: str | None\n"),
            ),
            "src/zeropoint/engine/session/load.py": (
                Edit("    model.template_name = options.template", "    model.label = options.label\n"),
            ),
        },
        n_tests=1,
    ),
}
