"""A tiny training configuration, and a callback that records everything a run reports."""

from __future__ import annotations

from dataclasses import replace

from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, StepInfo
from zeropoint.train.config.config import EvalConfig, ModelConfig, RunConfig, TrainConfig
from zeropoint.train.schedules.cosine import Cosine

__all__ = ["TINY", "Recorder", "with_train"]

TINY = RunConfig(
    model=ModelConfig(n_layers=1, n_heads=2, d_model=16, n_ctx=16),
    train=TrainConfig(steps=6, batch_size=4, checkpoint_every=2, device="cpu", check_causality=False),
    schedule=Cosine(warmup_steps=2),
    eval=EvalConfig(every=3, n_batches=1),
)


class Recorder(Callback):
    """Everything that a run reports."""

    def __init__(self) -> None:
        self.steps: list[StepInfo] = []
        self.evals: list[EvalInfo] = []
        self.samples: list[str] = []
        self.notices: list[str] = []
        self.ends: list[Result] = []

    def on_step(self, info: StepInfo) -> None:
        self.steps.append(info)

    def on_eval(self, info: EvalInfo) -> None:
        self.evals.append(info)

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(text)

    def on_notice(self, text: str) -> None:
        self.notices.append(text)

    def on_end(self, result: Result) -> None:
        self.ends.append(result)

    @property
    def losses(self) -> list[float]:
        return [info.loss for info in self.steps]


def with_train(config: RunConfig, **changes: object) -> RunConfig:
    """The configuration with other values in [train]."""
    return replace(config, train=replace(config.train, **changes))  # type: ignore[arg-type]
