"""A run while it goes: what happens before, between and after the steps of the loop."""

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
from zeropoint.train.averaging.ema import Ema
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, RunInfo, StepInfo
from zeropoint.train.callbacks.samples import sampled
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.checkpoints.checkpoint import SavedCheckpoint, State
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.duration import seconds_of
from zeropoint.train.distributed.process_group import ProcessGroup
from zeropoint.train.loop.compile import compiled_if_it_pays
from zeropoint.train.loop.early_stopping import Diverged, Divergence, Stop
from zeropoint.train.loop.gradients import NotFinite, largest, near_zero
from zeropoint.train.loop.loop import StepResult, evaluate_loss, train
from zeropoint.train.run.build_model import built
from zeropoint.train.run.causality import check_causal
from zeropoint.train.run.memory import held_bytes, translate_oom
from zeropoint.train.run.prepare import Prepared
from zeropoint.train.run.provenance import identity
from zeropoint.train.run.signals import StopRequest

__all__ = ["RunPosition", "Trainer"]


@dataclass(frozen=True)
class RunPosition:
    """Where and how it is computed. schedule: step, from 1 -> share of the learning rate."""

    device: torch.device
    dtype: torch.dtype
    schedule: Callable[[int], float]
    group: ProcessGroup


class Trainer:
    """Model, optimizer and state of one run; `restore` before `go` to go on with one."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        prepared: Prepared,
        watcher: Callback,
        shard: RunPosition,
        asked: StopRequest,
    ) -> None:
        self.config, self.folder, self.prepared, self.watcher = config, folder, prepared, watcher
        self.shard, self.asked = shard, asked
        self.model = built(config, prepared.blueprint, shard.device)
        shard.group.shard(self.model)
        self.optimizer = config.optimizer.build(self.model)
        self.ema = Ema(self.model, config.train.ema) if config.train.ema else None
        self.state = State(0, 0, config.train.seed, identity(config))
        self.checkpoint: Path | None = None
        self.stopped_by = "steps"
        self.near_zero: dict[str, float] = {}
        self.divergence = Divergence(None)
        self.stop = Stop(seconds_of(config.train.time_budget, "train.time_budget"), config.train.patience)
        self.seconds_before, self.started = 0.0, time.monotonic()

    def restore(self, found: SavedCheckpoint) -> None:
        """Go on from a checkpoint. Raises BadInput for one of another model."""
        checkpoint.restore(found, self.model, self.optimizer)
        if self.ema is not None:
            self.ema.load(found.weights)
        self.state, self.checkpoint = found.state, found.path
        self.seconds_before = found.state.seconds
        self.divergence = Divergence(found.state.first_loss)

    def go(self) -> Result:
        """Take the steps that are left."""
        config, shard = self.config, self.shard
        if self.state.step == 0:
            with self._named_errors():
                self._check_leak()
        self._tell_start()
        self.started = self.last = time.monotonic()
        with self._named_errors():
            if self.checkpoint is None:
                self._save(is_best=self._evaluate())
            train(
                self.model,
                self.prepared.training,
                compiled_if_it_pays(config, self.model, shard.device, shard.group.n_workers),
                self.optimizer,
                n_steps=config.train.steps,
                first_step=self.state.step,
                schedule=shard.schedule,
                accumulation_steps=config.train.accumulation_steps,
                max_grad_norm=config.train.max_grad_norm or None,
                dtype=shard.dtype,
                seed=config.train.seed,
                group=shard.group,
                before_update=self._before_update,
                after_step=self._after_step,
            )
        result = self._result()
        self.watcher.on_end(result)
        return result

    def _check_leak(self) -> None:
        """A model that is shown the future learns to copy. Raises BadInput naming the part that shows it."""
        if not self.config.train.leak_check or not isinstance(self.model, Decoder):
            return
        blueprint = self.prepared.blueprint
        leak = check_causal(self.model, blueprint.n_vocab, blueprint.n_ctx)
        if leak is not None:
            raise BadInput(f"{leak}; mend it, or train it all the same with train.leak_check=false")

    def _tell_start(self) -> None:
        n_ctx = self.config.data.n_ctx or self.prepared.blueprint.n_ctx
        self.watcher.on_start(
            RunInfo(
                config=self.config,
                folder=self.folder,
                n_parameters=sum(p.numel() for p in self.model.parameters()),
                n_steps=self.config.train.steps,
                first_step=self.state.step,
                n_tokens_a_step=self.config.train.batch_size * n_ctx,
            )
        )

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """What ends a run says which checkpoint is left."""
        remedy = (
            "give a larger train.accumulation_steps, model.gradient_checkpointing=true, "
            "or a smaller train.batch_size"
        )
        try:
            with translate_oom(lambda: f"step {self.state.step + 1}", remedy):
                yield
        except (NotFinite, Diverged, OutOfMemory) as error:
            raise type(error)(f"{error}. {self._last_good()}") from None

    def _before_update(self, step: int, loss: float) -> None:
        every = self.config.eval.every
        if (every and step % every == 0) or step == 1:
            self.near_zero = near_zero(self.model, self.config.train.near_zero)
        if (wrong := self.divergence.update(loss)) is not None:
            raise Diverged(
                f"step {step}: {wrong}; the gradient of {largest(self.model)} is the largest for its "
                "weights; lower the learning rate"
            )

    def _after_step(self, done: StepResult) -> bool:
        if self.ema is not None:
            self.ema.update(self.model, done.step)
        train, now = self.config.train, time.monotonic()
        self.state = replace(
            self.state,
            step=done.step,
            n_tokens=self.state.n_tokens + done.n_tokens,
            seconds=self.seconds_before + now - self.started,
            train_loss=done.loss,
            first_loss=self.divergence.first,
        )
        self._tell_step(done, now - self.last)
        why = self._why_stop()
        is_last = bool(why) or done.step == train.steps
        every = self.config.eval.every
        is_best = self._evaluate() if is_last or (every and done.step % every == 0) else False
        if not is_last and self.stop.is_worse(self.state.n_worse):
            why, is_last = "patience", True
        self._sample(done.step, is_last)
        is_due = bool(train.checkpoint_every) and done.step % train.checkpoint_every == 0
        if is_last or is_best or (is_due and not self.divergence.has_diverged):
            self._save(is_best)
        self.last = time.monotonic()
        self.stopped_by = why or self.stopped_by
        return bool(why)

    def _tell_step(self, done: StepResult, took_s: float) -> None:
        self.watcher.on_step(
            StepInfo(
                step=done.step,
                n_tokens=self.state.n_tokens,
                loss=done.loss,
                learning_rate=done.learning_rate,
                gradient_norm=done.gradient_norm,
                tok_s=done.n_tokens / max(took_s, 1e-9),
                seconds=self.state.seconds,
                memory_bytes=held_bytes(self.shard.device),
                near_zero=self.near_zero,
            )
        )
        self.near_zero = {}

    def _why_stop(self) -> str:
        """The signal or budget that ends the run here, or "". All workers get the same answer."""
        group, name, is_over = self.shard.group, self.asked.name, self.stop.is_over()
        if not group.any(bool(name) or is_over):
            return ""
        return (name or "SIGTERM") if group.any(bool(name)) else "time"  # another worker may have heard it

    def _evaluate(self) -> bool:
        """Judge the model by both splits. Returns whether it is the best so far."""
        state = self.state
        with self._judged():
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
        self.watcher.on_eval(
            EvalInfo(state.step, state.n_tokens, training, validation, state.seconds, is_best)
        )
        return is_best

    def _loss(self, batches: Batches) -> float:
        n, shard = self.config.eval.n_batches, self.shard
        return evaluate_loss(self.model, batches, self.config.objective, n, shard.dtype, shard.group)

    def _judged(self) -> contextlib.AbstractContextManager[None]:
        """The weights that are judged: the averaged ones, where there are some."""
        return self.ema.inside(self.model) if self.ema is not None else contextlib.nullcontext()

    def _sample(self, step: int, is_last: bool) -> None:
        spec = self.config.sample
        is_due = spec.every and (is_last or step % spec.every == 0)
        if not is_due:
            return
        with self._judged():
            text = sampled(self.model, self.prepared, spec, step)
        self.watcher.on_sample(step, text)

    def _save(self, is_best: bool) -> None:
        average = None if self.ema is None else self.ema.average
        keep = self.config.train.keep
        try:
            self.checkpoint = checkpoint.save(
                self.folder,
                self.state,
                self.model,
                self.optimizer,
                average,
                is_best=is_best,
                keep=keep,
                group=self.shard.group,
            )
        except DiskError as error:
            raise DiskError(f"{error}. {self._last_good()}") from None
        self.watcher.on_checkpoint(self.checkpoint)

    def _last_good(self) -> str:
        """A sentence."""
        if self.checkpoint is None:
            return "No checkpoint was written"
        return f"The last good checkpoint is {self.checkpoint}; go on from it with --resume"

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
