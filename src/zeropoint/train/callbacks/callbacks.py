"""The callback interface: what a run reports to a progress bar, a metrics file or TensorBoard."""

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
    """Reported before the first step. first_step: steps already taken by the run that is resumed.

    0 for a new one. n_vocab: size of the vocabulary; guessing among its tokens has a loss of ln n_vocab.
    """

    config: RunConfig
    folder: Path
    n_parameters: int
    n_steps: int
    first_step: int
    n_tokens_per_step: int
    n_vocab: int


@dataclass(frozen=True)
class StepInfo:
    """One step, counted from 1. loss: nats per token. n_tokens, seconds: totals of the run, across resumes.

    near_zero: by parameter, the fraction of near-zero gradients; empty except at the steps that measure it.
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
    """One evaluation, after `step` steps (0: before the first). Losses in nats per token.

    train_loss: None if `eval.on_train` is off. is_best: the lowest validation loss so far.
    """

    step: int
    n_tokens: int
    train_loss: float | None
    validation_loss: float
    seconds: float
    is_best: bool


@dataclass(frozen=True)
class Result:
    """How a run ended. stopped_by: "steps", "time", "early_stopping", "SIGINT" or "SIGTERM".

    validation_loss: the last one; best_loss: the lowest one, after best_step steps. checkpoint: the last
    checkpoint's folder (None on a worker that writes none).
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
        """The result as JSON types, with paths as strings."""
        return {name: str(v) if isinstance(v, Path) else v for name, v in asdict(self).items()}

    def as_json(self) -> dict[str, Any]:
        """The result as `zeropoint train --json` prints it."""
        plain = self.as_plain()
        tokens = plain.pop("n_tokens")
        return {"tokens": tokens, **plain}

    @property
    def exit_code(self) -> int:
        """0, or 128 plus the number of the signal that ended the run (130, 143)."""
        return {"SIGINT": 130, "SIGTERM": 143}.get(self.stopped_by, 0)


class Callback:
    """Override the events of interest. Calls come from the training thread, in order."""

    def on_start(self, info: RunInfo) -> None:
        """Before the first step."""

    def on_step(self, info: StepInfo) -> None:
        """After every step."""

    def on_eval(self, info: EvalInfo) -> None:
        """After an evaluation."""

    def on_sample(self, step: int, text: str) -> None:
        """After a sample; text: what the model wrote, prompt included."""

    def on_checkpoint(self, path: Path) -> None:
        """After a checkpoint is completely on disk."""

    def on_notice(self, text: str) -> None:
        """A sentence that the user should see."""

    def on_end(self, result: Result) -> None:
        """After the last step."""


class CallbackList(Callback):
    """Forwards every event to several callbacks, in order."""

    def __init__(self, callbacks: tuple[Callback, ...]) -> None:
        self.callbacks = callbacks

    def on_start(self, info: RunInfo) -> None:
        for callback in self.callbacks:
            callback.on_start(info)

    def on_step(self, info: StepInfo) -> None:
        for callback in self.callbacks:
            callback.on_step(info)

    def on_eval(self, info: EvalInfo) -> None:
        for callback in self.callbacks:
            callback.on_eval(info)

    def on_sample(self, step: int, text: str) -> None:
        for callback in self.callbacks:
            callback.on_sample(step, text)

    def on_checkpoint(self, path: Path) -> None:
        for callback in self.callbacks:
            callback.on_checkpoint(path)

    def on_notice(self, text: str) -> None:
        for callback in self.callbacks:
            callback.on_notice(text)

    def on_end(self, result: Result) -> None:
        for callback in self.callbacks:
            callback.on_end(result)
