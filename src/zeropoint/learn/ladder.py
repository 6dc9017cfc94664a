"""A ladder: models that grow by one part at a time, each trained and held to the loss that was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from zeropoint.train.run.causality import Leak

__all__ = ["COSTS", "Cost", "Ladder", "Reached", "Rung", "Stage", "Training"]

Cost = Literal["seconds", "minutes", "night"]
COSTS: tuple[Cost, ...] = ("seconds", "minutes", "night")


@dataclass(frozen=True)
class Stage:
    """What was published for a rung after so many steps in all.

    published: the loss, in nats; several where several versions circulate, and ours may be near any.
    tolerance: how near. cost: from the rung's start to here, on one core of a laptop. reason: why it does
    not bind, where it does not. of: the part of the text it is the loss of, where that is not the held-out
    one alone. n_batches: whose mean it is.
    """

    n_steps: int
    published: tuple[float, ...]
    tolerance: float
    cost: Cost = "seconds"
    reason: str = ""
    of: str = ""
    n_batches: int = 200  # as in the lecture; Kitano takes 10, and swings by 0.02


@dataclass(frozen=True)
class Training:
    """How a rung is trained: n_rows windows of n_ctx tokens a step, an optimizer made of a model.

    schedule: step, from 1 -> share of the optimizer's rate; None for all of it. is_wide: its matrices
    are large enough for threads to share.
    """

    n_ctx: int
    n_rows: int
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[int], float] | None = None
    is_wide: bool = False


@dataclass(frozen=True)
class Rung:
    """One model. change: what it has that the one before had not.

    build: the model, its first weights drawn from torch's generator. corrected: the same without the faults
    it was published with; None where it has none. is_miswired: it was published with an optimizer that holds
    another model's weights; the corrected one holds its own. untrained: number of batches -> a loss for each
    stage `of` something, where nothing is trained. recipe: the preset of `zeropoint train` that is run.
    """

    name: str
    change: str
    build: Callable[[], nn.Module]
    training: Training
    stages: tuple[Stage, ...]
    corrected: Callable[[], nn.Module] | None = None
    is_miswired: bool = False
    untrained: Callable[[int], Mapping[str, float]] | None = None
    recipe: str = ""


@dataclass(frozen=True)
class Ladder:
    """Rungs in order.

    parts: where the text is cut, as shares of it: trained on up to the first, validated on up to the second.
    ordered: names of rungs of which each must come out below the one before.
    """

    name: str
    source: str
    parts: tuple[float, float]
    rungs: tuple[Rung, ...]
    ordered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reached:
    """What came of a stage: validation losses in nats a token.

    ours: of the model as published. corrected: of the one without its faults. leak: what shows the model, as
    published, the future; corrected_leak: the same of the other, which should have none. n_unheld: weights
    that the optimizer does not hold, of n_weights. dead: of each weight, the share of its gradients that
    are near zero, at the last step. device: "cpu", or the name of the GPU.
    """

    rung: Rung
    stage: Stage
    n_steps: int
    ours: float
    corrected: float | None
    seconds: float
    leak: Leak | None = None
    corrected_leak: Leak | None = None
    n_weights: int = 0
    n_unheld: int = 0
    dead: tuple[tuple[str, float], ...] = ()
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The rung, and of what the loss is where that must be said."""
        return f"{self.rung.name} {self.stage.of}".rstrip()

    @property
    def verdict(self) -> str:
        """holds, differs; near, far where the published number does not bind; not judged if cut short."""
        if self.n_steps < self.stage.n_steps:
            return "not judged"
        is_near = any(abs(p - self.ours) <= self.stage.tolerance for p in self.stage.published)
        if self.stage.reason:
            return "near" if is_near else "far"
        return "holds" if is_near else "differs"
