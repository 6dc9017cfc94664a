"""What a run tells while it goes. A progress bar, a metrics file, TensorBoard: all are watchers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeropoint.train.config.config import RunConfig

__all__ = ["Callback", "CallbackList", "EvalInfo", "Result", "RunInfo", "StepInfo"]


@dataclass(frozen=True)
class RunInfo:
    """Before the first step. n_steps: where the run ends; first_step: steps done before, by a run resumed."""

    config: RunConfig
    folder: Path
    n_parameters: int
    n_steps: int
    first_step: int
    n_tokens_per_step: int


@dataclass(frozen=True)
class StepInfo:
    """One step, counted from 1. seconds: of training so far, also before a resume; loss in nats a token.

    n_tokens: seen so far. near_zero: share of gradients nearer to zero than the configuration says, by
    parameter; empty but at the steps that measure it.
    """

    step: int
    n_tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tok_s: float
    seconds: float
    memory_bytes: int
    near_zero: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EvalInfo:
    """A look at both splits, after `step` steps (0: before the first). Losses in nats a token.

    train_loss: None where it is not asked for. is_best: the lowest validation loss so far.
    """

    step: int
    n_tokens: int
    train_loss: float | None
    validation_loss: float
    seconds: float
    is_best: bool


@dataclass(frozen=True)
class Result:
    """How a run ended. stopped_by: "steps", "time", "patience", "SIGINT" or "SIGTERM".

    validation_loss: the last; best_loss: the lowest, after best_step steps. checkpoint: the last's folder
    (None for a worker that writes none).
    """

    folder: Path
    step: int
    n_tokens: int
    train_loss: float | None
    validation_loss: float | None
    best_loss: float | None
    best_step: int | None
    seconds: float
    stopped_by: str
    checkpoint: Path | None

    def as_plain(self) -> dict[str, Any]:
        """As JSON can say it: paths as texts."""
        return {name: str(v) if isinstance(v, Path) else v for name, v in asdict(self).items()}

    @property
    def exit_code(self) -> int:
        """0, or 130 and 143 where a signal ended it, as shells count."""
        return {"SIGINT": 130, "SIGTERM": 143}.get(self.stopped_by, 0)


class Callback:
    """Override what is of interest. Calls come from the training thread, in order."""

    def on_start(self, info: RunInfo) -> None:
        """Before the first step."""

    def on_step(self, info: StepInfo) -> None:
        """After every step."""

    def on_eval(self, info: EvalInfo) -> None:
        """After a look at the validation split."""

    def on_sample(self, step: int, text: str) -> None:
        """Text that the model wrote, prompt included."""

    def on_checkpoint(self, path: Path) -> None:
        """A checkpoint is on the disk, whole."""

    def on_notice(self, text: str) -> None:
        """Something that a person should know, in a sentence."""

    def on_end(self, result: Result) -> None:
        """After the last step."""


class CallbackList(Callback):
    """Several as one."""

    def __init__(self, callbacks: tuple[Callback, ...]) -> None:
        self.callbacks = callbacks

    def on_start(self, info: RunInfo) -> None:
        for watcher in self.callbacks:
            watcher.on_start(info)

    def on_step(self, info: StepInfo) -> None:
        for watcher in self.callbacks:
            watcher.on_step(info)

    def on_eval(self, info: EvalInfo) -> None:
        for watcher in self.callbacks:
            watcher.on_eval(info)

    def on_sample(self, step: int, text: str) -> None:
        for watcher in self.callbacks:
            watcher.on_sample(step, text)

    def on_checkpoint(self, path: Path) -> None:
        for watcher in self.callbacks:
            watcher.on_checkpoint(path)

    def on_notice(self, text: str) -> None:
        for watcher in self.callbacks:
            watcher.on_notice(text)

    def on_end(self, result: Result) -> None:
        for watcher in self.callbacks:
            watcher.on_end(result)
