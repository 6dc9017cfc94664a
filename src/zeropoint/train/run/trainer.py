"""The trainer of one run: evaluation, samples, checkpoints and stopping, around the training loop."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from zeropoint.data.batches import Batches
from zeropoint.errors import BadInput, DiskError, OutOfMemory
from zeropoint.models.decoder import Decoder
from zeropoint.train.averaging.ema import EMA
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, RunInfo, StepInfo
from zeropoint.train.callbacks.samples import sample_text
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.checkpoints.checkpoint import SavedCheckpoint, TrainingState
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.duration import parse_duration
from zeropoint.train.distributed.process_group import ProcessGroup
from zeropoint.train.loop.compile import compile_objective
from zeropoint.train.loop.early_stopping import Diverged, DivergenceDetector, EarlyStopping
from zeropoint.train.loop.gradients import NotFinite, largest_gradient, near_zero_fractions
from zeropoint.train.loop.loop import StepResult, evaluate_loss, train
from zeropoint.train.run.build_model import build_model
from zeropoint.train.run.causality import check_causality
from zeropoint.train.run.memory import translate_oom, used_bytes
from zeropoint.train.run.prepare import Prepared
from zeropoint.train.run.provenance import config_fingerprint
from zeropoint.train.run.signals import StopRequest

__all__ = ["RunContext", "Trainer"]


@dataclass(frozen=True)
class RunContext:
    """Where and how a run computes. schedule: step, from 1 -> multiplier of the learning rate."""

    device: torch.device
    dtype: torch.dtype
    schedule: Callable[[int], float]
    group: ProcessGroup


class Trainer:
    """Model, optimizer and state of one run. Call `restore` before `run` to resume from a checkpoint."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        prepared: Prepared,
        callback: Callback,
        context: RunContext,
        stop_request: StopRequest,
    ) -> None:
        self.config, self.folder, self.prepared, self.callback = config, folder, prepared, callback
        self.context, self.stop_request = context, stop_request
        self.model = build_model(config, prepared.blueprint, context.device)
        context.group.shard(self.model)
        self.optimizer = config.optimizer.build(self.model)
        self.ema = EMA(self.model, config.train.ema_decay) if config.train.ema_decay else None
        self.state = TrainingState(0, 0, config.train.seed, config_fingerprint(config))
        self.checkpoint: Path | None = None
        self.stopped_by = "steps"
        self.near_zero: dict[str, float] = {}
        self.divergence = DivergenceDetector(None)
        self.stopping = EarlyStopping(
            parse_duration(config.train.time_budget, "train.time_budget"),
            config.train.early_stopping_patience,
        )
        self.seconds_before, self.started = 0.0, time.monotonic()

    def restore(self, saved: SavedCheckpoint) -> None:
        """Resume from a checkpoint. Raises BadInput if it belongs to another model."""
        checkpoint.restore(saved, self.model, self.optimizer)
        if self.ema is not None:
            self.ema.load(saved.weights)
        self.state, self.checkpoint = saved.state, saved.path
        self.seconds_before = saved.state.seconds
        self.divergence = DivergenceDetector(saved.state.first_loss)

    def run(self) -> Result:
        """Take the remaining steps."""
        config, context = self.config, self.context
        if self.state.step == 0:
            with self._add_checkpoint_to_errors():
                self._check_causality()
        self._report_start()
        self.started = self.last = time.monotonic()
        with self._add_checkpoint_to_errors():
            if self.checkpoint is None:
                self._save(is_best=self._evaluate())
            train(
                self.model,
                self.prepared.training,
                compile_objective(config, self.model, context.device, context.group.n_workers),
                self.optimizer,
                n_steps=config.train.steps,
                first_step=self.state.step,
                schedule=context.schedule,
                accumulation_steps=config.train.accumulation_steps,
                max_grad_norm=config.train.max_grad_norm or None,
                dtype=context.dtype,
                seed=config.train.seed,
                group=context.group,
                before_update=self._before_update,
                after_step=self._after_step,
            )
        result = self._result()
        self.callback.on_end(result)
        return result

    def _check_causality(self) -> None:
        """Raise BadInput if a decoder can see future tokens: it would learn to copy instead of to predict."""
        if not self.config.train.check_causality or not isinstance(self.model, Decoder):
            return
        blueprint = self.prepared.blueprint
        violation = check_causality(self.model, blueprint.n_vocab, blueprint.n_ctx)
        if violation is not None:
            raise BadInput(
                f"{violation}; fix that module, or skip this check with train.check_causality=false"
            )

    def _report_start(self) -> None:
        n_ctx = self.config.data.n_ctx or self.prepared.blueprint.n_ctx
        self.callback.on_start(
            RunInfo(
                config=self.config,
                folder=self.folder,
                n_parameters=sum(p.numel() for p in self.model.parameters()),
                n_steps=self.config.train.steps,
                first_step=self.state.step,
                n_tokens_per_step=self.config.train.batch_size * n_ctx,
                n_vocab=self.prepared.blueprint.n_vocab,
            )
        )

    @contextlib.contextmanager
    def _add_checkpoint_to_errors(self) -> Iterator[None]:
        """Append the last good checkpoint to the message of an error that ends the run."""
        remedy = (
            "increase train.accumulation_steps, set model.gradient_checkpointing, or reduce train.batch_size"
        )
        try:
            with translate_oom(lambda: f"step {self.state.step + 1}", remedy):
                yield
        except (NotFinite, Diverged, OutOfMemory) as error:
            raise type(error)(f"{error}. {self._last_good()}") from None

    def _before_update(self, step: int, loss: float) -> None:
        every = self.config.eval.every
        if (every and step % every == 0) or step == 1:
            self.near_zero = near_zero_fractions(self.model, self.config.train.near_zero_threshold)
        if (problem := self.divergence.update(loss)) is not None:
            raise Diverged(
                f"step {step}: {problem}; the gradient of {largest_gradient(self.model)} is the largest "
                "relative to its weights; lower the learning rate"
            )

    def _after_step(self, result: StepResult) -> bool:
        if self.ema is not None:
            self.ema.update(self.model, result.step)
        train, now = self.config.train, time.monotonic()
        self.state = replace(
            self.state,
            step=result.step,
            n_tokens=self.state.n_tokens + result.n_tokens,
            seconds=self.seconds_before + now - self.started,
            train_loss=result.loss,
            first_loss=self.divergence.first,
        )
        self._report_step(result, now - self.last)
        stop_reason = self._stop_reason()
        is_last = bool(stop_reason) or result.step == train.steps
        every = self.config.eval.every
        is_best = self._evaluate() if is_last or (every and result.step % every == 0) else False
        if not is_last and self.stopping.is_out_of_patience(self.state.n_worse):
            stop_reason, is_last = "early_stopping", True
        self._sample(result.step, is_last)
        is_due = bool(train.checkpoint_every) and result.step % train.checkpoint_every == 0
        if is_last or is_best or (is_due and not self.divergence.has_diverged):
            self._save(is_best)
        self.last = time.monotonic()
        self.stopped_by = stop_reason or self.stopped_by
        return bool(stop_reason)

    def _report_step(self, result: StepResult, seconds: float) -> None:
        self.callback.on_step(
            StepInfo(
                step=result.step,
                n_tokens=self.state.n_tokens,
                loss=result.loss,
                learning_rate=result.learning_rate,
                gradient_norm=result.gradient_norm,
                tok_s=result.n_tokens / max(seconds, 1e-9),
                seconds=self.state.seconds,
                memory_bytes=used_bytes(self.context.device),
                near_zero=self.near_zero,
            )
        )
        self.near_zero = {}

    def _stop_reason(self) -> str:
        """The signal or budget that ends the run now, or "". All workers get the same answer."""
        group, signal, is_over = self.context.group, self.stop_request.name, self.stopping.is_out_of_time()
        if not group.any(bool(signal) or is_over):
            return ""
        return (
            (signal or "SIGTERM") if group.any(bool(signal)) else "time"
        )  # the signal may be another worker's

    def _evaluate(self) -> bool:
        """Evaluate the model on both splits. Returns whether it is the best so far."""
        state = self.state
        with self._evaluated_weights():
            validation = self._loss(self.prepared.validation)
            training = self._loss(self.prepared.training) if self.config.eval.on_train else None
        is_best = state.best_loss is None or validation < state.best_loss
        self.state = replace(
            state,
            validation_loss=validation,
            best_loss=validation if is_best else state.best_loss,
            best_step=state.step if is_best else state.best_step,
            n_worse=0 if is_best else state.n_worse + 1,
        )
        self.callback.on_eval(
            EvalInfo(state.step, state.n_tokens, training, validation, state.seconds, is_best)
        )
        return is_best

    def _loss(self, batches: Batches) -> float:
        n, context = self.config.eval.n_batches, self.context
        return evaluate_loss(self.model, batches, self.config.objective, n, context.dtype, context.group)

    def _evaluated_weights(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the model holds the weights to evaluate: the moving average if there is one."""
        return self.ema.applied_to(self.model) if self.ema is not None else contextlib.nullcontext()

    def _sample(self, step: int, is_last: bool) -> None:
        settings = self.config.sample
        is_due = settings.every and (is_last or step % settings.every == 0)
        if not is_due:
            return
        with self._evaluated_weights():
            text = sample_text(self.model, self.prepared, settings, step)
        self.callback.on_sample(step, text)

    def _save(self, is_best: bool) -> None:
        average = None if self.ema is None else self.ema.average
        try:
            self.checkpoint = checkpoint.save(
                self.folder,
                self.state,
                self.model,
                self.optimizer,
                average,
                is_best=is_best,
                max_checkpoints=self.config.train.max_checkpoints,
                group=self.context.group,
            )
        except DiskError as error:
            raise DiskError(f"{error}. {self._last_good()}") from None
        self.callback.on_checkpoint(self.checkpoint)

    def _last_good(self) -> str:
        """A sentence that names the checkpoint to resume from."""
        if self.checkpoint is None:
            return "No checkpoint was written"
        return f"The last good checkpoint is {self.checkpoint}; resume from it with --resume"

    def _result(self) -> Result:
        state = self.state
        return Result(
            folder=self.folder,
            step=state.step,
            n_tokens=state.n_tokens,
            train_loss=state.train_loss,
            validation_loss=state.validation_loss,
            best_loss=state.best_loss,
            best_step=state.best_step,
            seconds=state.seconds,
            stopped_by=self.stopped_by,
            checkpoint=self.checkpoint,
        )
