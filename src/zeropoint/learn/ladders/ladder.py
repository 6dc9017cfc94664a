"""A ladder: a sequence of models, each adding one part, trained to a published loss.

`Ladder` lists rungs; a `Rung` is one model and how it is trained; a `Stage` is the loss published after a
number of steps; a `StageResult` is what we measured there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from zeropoint.train.run.causality import CausalityViolation

__all__ = ["COSTS", "Cost", "Ladder", "Rung", "Stage", "StageResult", "TrainingSetup"]

Cost = Literal["seconds", "minutes", "night"]
COSTS: tuple[Cost, ...] = ("seconds", "minutes", "night")


@dataclass(frozen=True)
class Stage:
    """The loss published for a rung after n_steps steps in total.

    published: validation loss in nats; several values if several versions circulate, any of which may match.
    tolerance: the largest allowed difference. cost: training time up to here on one laptop core. reason: why
    the published value is not binding; empty if it is. split: "train" or "validation" if the loss is measured
    on that split of an untrained model. n_batches: validation batches to average. minutes: about how long the
    rung takes up to here on one idle core, both trainings of a rung with bugs included.
    """

    n_steps: int
    published: tuple[float, ...]
    tolerance: float
    cost: Cost = "seconds"
    reason: str = ""
    split: str = ""
    n_batches: int = 200  # as in Karpathy's lecture; Kitano averages 10, which varies by 0.02
    minutes: float = 0.5


@dataclass(frozen=True)
class TrainingSetup:
    """How to train a rung: batches of batch_size windows of n_ctx tokens, and an optimizer for the model.

    schedule: step, from 1 -> fraction of the optimizer's learning rate; None for a constant rate.
    uses_all_threads: the matrices are large enough to split across threads.
    """

    n_ctx: int
    batch_size: int
    optimizer: Callable[[nn.Module], Optimizer]
    schedule: Callable[[int], float] | None = None
    uses_all_threads: bool = False


@dataclass(frozen=True)
class Rung:
    """One model of a ladder. change: what it adds to the previous rung.

    build: creates the model, drawing initial weights from torch's generator. corrected: the model without the
    bugs it was published with; None if it has none. has_stale_optimizer: the published code built the
    optimizer from another model's weights, so this model never trains; the corrected one uses its own.
    untrained_losses: number of batches -> loss per split, for a rung that is not trained. recipe: the
    `zeropoint train` preset to run instead.
    """

    name: str
    change: str
    build: Callable[[], nn.Module]
    training: TrainingSetup
    stages: tuple[Stage, ...]
    corrected: Callable[[], nn.Module] | None = None
    has_stale_optimizer: bool = False
    untrained_losses: Callable[[int], Mapping[str, float]] | None = None
    recipe: str = ""


@dataclass(frozen=True)
class Ladder:
    """Rungs in order.

    splits: where the training and validation splits end, as fractions of the text. text: the data set to
    train on, character by character.
    decreasing: names of rungs whose losses must strictly decrease in this order.
    """

    name: str
    source: str
    splits: tuple[float, float]
    rungs: tuple[Rung, ...]
    decreasing: tuple[str, ...] = ()
    text: str = "shakespeare"


@dataclass(frozen=True)
class StageResult:
    """What we measured at a stage: validation losses in nats per token.

    ours: the model as published. corrected: the model without its bugs. leak, corrected_leak: which module of
    the published and of the corrected model sees future tokens. n_not_optimized: weights missing from the
    optimizer, out of n_weights. near_zero_gradients: per parameter, the fraction of gradients near zero at
    the last step. device: "cpu", or the name of the GPU.
    """

    rung: Rung
    stage: Stage
    n_steps: int
    ours: float
    corrected: float | None
    seconds: float
    leak: CausalityViolation | None = None
    corrected_leak: CausalityViolation | None = None
    n_weights: int = 0
    n_not_optimized: int = 0
    near_zero_gradients: tuple[tuple[str, float], ...] = ()
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The rung's name, followed by the split if the loss is of a particular one."""
        return f"{self.rung.name} {self.stage.split}".rstrip()

    @property
    def verdict(self) -> str:
        """holds or differs; near or far if the published loss is not binding; not judged if cut short."""
        if self.n_steps < self.stage.n_steps:
            return "not judged"
        is_near = any(abs(p - self.ours) <= self.stage.tolerance for p in self.stage.published)
        if self.stage.reason:
            return "near" if is_near else "far"
        return "holds" if is_near else "differs"
