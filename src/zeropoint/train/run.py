"""A configuration becomes a run: a folder with everything about it, which can be left and gone on with.

The folder holds config.toml, blueprint.toml, tokenizer.json, run.json, checkpoints/ and the pointers latest
and best (`checkpoint.py`); watchers write the rest. Whatever ends a run, the folder has its last checkpoint.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from zeropoint.data.batches import Batches
from zeropoint.errors import BadInput, DiskError, MachineError
from zeropoint.models.decoder import Decoder
from zeropoint.train import checkpoint
from zeropoint.train.check import check
from zeropoint.train.checkpoint import State
from zeropoint.train.config import Config
from zeropoint.train.duration import seconds_of
from zeropoint.train.ema import Ema
from zeropoint.train.gradients import NotFinite, near_zero
from zeropoint.train.hold import held
from zeropoint.train.loop import Done, loss_of, train
from zeropoint.train.memory import resident_bytes
from zeropoint.train.model import built
from zeropoint.train.precision import quickest_dtype
from zeropoint.train.prepare import prepare
from zeropoint.train.record import identity, write_record
from zeropoint.train.sample import written
from zeropoint.train.schedule import WSD, Cosine, Noam
from zeropoint.train.signals import Asked, heard
from zeropoint.train.team import ALONE, Team
from zeropoint.train.watch import EvalInfo, Result, RunInfo, StepInfo, Watcher, Watchers

__all__ = ["Run", "run"]


def run(
    config: Config,
    folder: Path,
    watchers: Iterable[Watcher] = (),
    *,
    resume: bool = False,
    team: Team = ALONE,
) -> Result:
    """Train as configured, in `folder`, and tell the watchers.

    resume: go on from the newest sound checkpoint of the folder, which must be of the same model, data, seed
    and batch; without it the folder must hold no run. A signal ends the run after a checkpoint.
    Raises BadInput before anything is computed; MachineError for a run that another process trains, and for
    losses that are no numbers; DiskError.
    """
    check(config)
    last = _prepare_folder(folder, resume)
    with held(folder), heard() as asked:
        checkpoint.clean(folder)
        return Run(config, folder, Watchers(tuple(watchers)), team, asked).go(last)


def _prepare_folder(folder: Path, resume: bool) -> bool:
    """Make the folder, or see that it fits. Returns whether there is a run to go on with."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; choose a folder for the run")
    has_run = bool(checkpoint.checkpoints(folder))
    if has_run and not resume:
        raise BadInput(f"{folder} holds a run; add --resume to go on with it, or choose another folder")
    if resume and not has_run:
        raise BadInput(f"{folder} holds no checkpoint to go on from; leave --resume out to start a run")
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror}; choose another folder") from None
    return has_run


class Run:
    """One run while it goes."""

    def __init__(
        self, config: Config, folder: Path, watchers: Watcher, team: Team = ALONE, asked: Asked | None = None
    ) -> None:
        self.config, self.folder, self.watchers, self.team = config, folder, watchers, team
        self.asked = asked or Asked()
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        self.device = device_of(config)
        self.dtype = dtype_of(config, self.device)
        self.prepared = prepare(config, watchers.on_notice)
        self.model = built(config, self.prepared.blueprint, self.device)
        self.optimizer = config.optimizer.build(self.model)
        self.ema = Ema(self.model, config.train.ema) if config.train.ema else None
        self.state = State(0, 0, config.train.seed, identity(config))
        self.checkpoint: Path | None = None
        self.stopped_by = "steps"
        self.near_zero: dict[str, float] = {}

    def go(self, resume: bool) -> Result:
        """From the first step, or the one after the newest checkpoint, to the end."""
        config, team = self.config, self.team
        if resume:
            self._restore()
        elif team.rank == 0:
            write_record(self.folder, config, self.prepared, self.device)
        self._tell_start()
        self.started = self.last = time.monotonic()
        self.seconds_before = self.state.seconds
        if self.state.step == 0:
            self._evaluate()
            self._save(is_best=True)
        try:
            train(
                self.model,
                self.prepared.training,
                config.objective,
                self.optimizer,
                n_steps=config.train.steps,
                first_step=self.state.step,
                schedule=schedule_of(config, self.prepared.blueprint.d_model),
                n_accumulated=config.train.accumulate,
                most_gradient=config.train.clip or None,
                dtype=self.dtype,
                seed=config.train.seed,
                team=team,
                before_update=self._before_update,
                after_step=self._after_step,
            )
        except NotFinite as error:
            raise MachineError(f"{error}. {self._last_good()}") from None
        result = self._result()
        self.watchers.on_end(result)
        return result

    def _tell_start(self) -> None:
        n_ctx = self.config.data.n_ctx or self.prepared.blueprint.n_ctx
        self.watchers.on_start(
            RunInfo(
                config=self.config,
                folder=self.folder,
                n_parameters=sum(p.numel() for p in self.model.parameters()),
                n_steps=self.config.train.steps,
                first_step=self.state.step,
                n_tokens_a_step=self.config.train.batch_size * n_ctx,
            )
        )

    def _restore(self) -> None:
        found, damaged = checkpoint.newest(self.folder)
        if found is None:
            raise BadInput(f"{self.folder} holds no checkpoint to go on from; leave --resume out")
        for sentence in damaged:
            self.watchers.on_notice(f"{sentence}; going on from {found.path.name}")
        if found.state.config_sha256 != self.state.config_sha256:
            raise BadInput(
                f"{found.path} is of another configuration (model, data, objective, optimizer, seed, batch); "
                f"go on with {self.folder / 'config.toml'}, or start a new run"
            )
        checkpoint.restore(found, self.model, self.optimizer)
        if self.ema is not None:
            self.ema.load(found.weights)
        self.state, self.checkpoint = found.state, found.path

    def _before_update(self, step: int) -> None:
        every = self.config.eval.every
        if (every and step % every == 0) or step == 1:
            self.near_zero = near_zero(self.model, self.config.train.near_zero)

    def _after_step(self, done: Done) -> bool:
        if self.ema is not None:
            self.ema.update(self.model, done.step)
        now, train = time.monotonic(), self.config.train
        took, self.last = now - self.last, now
        state = self.state = replace(
            self.state,
            step=done.step,
            n_tokens=self.state.n_tokens + done.n_tokens,
            seconds=self.seconds_before + now - self.started,
            train_loss=done.loss,
            first_loss=self.state.first_loss or done.loss,
        )
        info = StepInfo(
            step=done.step,
            n_tokens=state.n_tokens,
            loss=done.loss,
            learning_rate=done.learning_rate,
            gradient_norm=done.gradient_norm,
            tok_s=done.n_tokens / max(took, 1e-9),
            seconds=state.seconds,
            memory_bytes=resident_bytes(),
            near_zero=self.near_zero,
        )
        self.watchers.on_step(info)
        self.near_zero = {}
        why = self._why_stop()
        is_last = bool(why) or done.step == train.steps
        every = self.config.eval.every
        is_best = self._evaluate() if is_last or (every and done.step % every == 0) else False
        if not why and train.patience and self.state.n_worse >= train.patience:
            why, is_last = "patience", True
        self._sample(done.step, is_last)
        is_due = train.checkpoint_every and done.step % train.checkpoint_every == 0
        if is_last or is_best or is_due:
            self._save(is_best)
        self.last = time.monotonic()
        self.stopped_by = why or self.stopped_by
        return bool(why)

    def _why_stop(self) -> str:
        """The signal or budget that ends the run here, or "". All workers get the same answer."""
        budget = seconds_of(self.config.train.time_budget, "train.time_budget")
        if self.team.any(bool(self.asked.name)):
            return self.asked.name or "SIGTERM"
        is_over = budget is not None and time.monotonic() - self.started >= budget
        return "time" if self.team.any(is_over) else ""

    def _evaluate(self) -> bool:
        """Judge the model by both splits. Returns whether it is the best so far."""
        spec, state = self.config.eval, self.state
        with self._judged():
            validation = self._loss(self.prepared.validation)
            training = self._loss(self.prepared.training) if spec.on_train else None
        is_best = state.best_loss is None or validation < state.best_loss
        self.state = replace(
            state,
            validation_loss=validation,
            best_loss=validation if is_best else state.best_loss,
            best_step=state.step if is_best else state.best_step,
            n_worse=0 if is_best else state.n_worse + 1,
        )
        self.watchers.on_eval(
            EvalInfo(state.step, state.n_tokens, training, validation, state.seconds, is_best)
        )
        return is_best

    def _loss(self, batches: Batches) -> float:
        n = self.config.eval.n_batches
        return loss_of(self.model, batches, self.config.objective, n, self.dtype, self.team)

    def _judged(self) -> contextlib.AbstractContextManager[None]:
        """The weights that are judged: the averaged ones, where there are some."""
        return self.ema.inside(self.model) if self.ema is not None else contextlib.nullcontext()

    def _sample(self, step: int, is_last: bool) -> None:
        spec = self.config.sample
        is_due = spec.every and (is_last or step % spec.every == 0)
        if not is_due or not isinstance(self.model, Decoder) or self.team.rank:
            return
        prompt = spec.prompt or "\n"
        try:
            ids = self.prepared.tokenizer.encode(prompt)
        except BadInput:
            prompt, ids = "", [0]
        with self._judged():
            new = written(self.model, ids, spec.n_tokens, spec.temperature, spec.top_k, step)
        self.watchers.on_sample(step, prompt + self.prepared.tokenizer.decode(new))

    def _save(self, is_best: bool) -> None:
        if self.team.rank:
            return
        average = None if self.ema is None else self.ema.average
        try:
            self.checkpoint = checkpoint.save(
                self.folder,
                self.state,
                self.model,
                self.optimizer,
                average,
                is_best=is_best,
                keep=self.config.train.keep,
            )
        except DiskError as error:
            raise DiskError(f"{error}. {self._last_good()}") from None
        self.watchers.on_checkpoint(self.checkpoint)

    def _last_good(self) -> str:
        """A sentence."""
        if self.checkpoint is None:
            return "No checkpoint was written"
        return f"The last good checkpoint is {self.checkpoint}; go on from it with --resume"

    def _result(self) -> Result:
        state = self.state
        if self.checkpoint is None:
            raise MachineError("the run ended without a checkpoint")
        return Result(
            folder=self.folder,
            step=state.step,
            n_tokens=state.n_tokens,
            train_loss=state.train_loss or 0.0,
            validation_loss=state.validation_loss,
            best_loss=state.best_loss,
            best_step=state.best_step,
            seconds=state.seconds,
            stopped_by=self.stopped_by,
            checkpoint=self.checkpoint,
        )


def device_of(config: Config) -> torch.device:
    """Where it is computed: a GPU if there is one, or what was asked for. Raises BadInput."""
    asked = config.train.device
    has_gpu = torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        raise BadInput('train.device is "cuda" and there is no such GPU; give "cpu" or "auto"')
    return torch.device("cuda" if has_gpu and asked != "cpu" else "cpu")


def dtype_of(config: Config, device: torch.device) -> torch.dtype:
    """What is multiplied in. "auto" measures, so that it may differ between machines."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return named.get(config.train.precision) or quickest_dtype(device.type == "cpu")


def schedule_of(config: Config, d_model: int) -> Callable[[int], float]:
    """The schedule, with the numbers that come from the run."""
    schedule = config.schedule
    if isinstance(schedule, Noam):
        return replace(schedule, d_model=schedule.d_model or d_model)
    if isinstance(schedule, Cosine | WSD):
        return replace(schedule, decay_steps=schedule.decay_steps or config.train.steps)
    return schedule
