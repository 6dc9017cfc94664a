"""A configuration becomes a run: a folder with everything about it, which can be left and gone on with.

The folder holds config.toml, blueprint.toml, tokenizer.json, run.json, checkpoints/ and the pointers latest
and best (`checkpoint.py`); watchers write the rest. Whatever ends a run, the folder has its last checkpoint.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from zeropoint.errors import BadInput
from zeropoint.files.disk_errors import disk_error
from zeropoint.train.callbacks.callbacks import Callback, Callbacks, Result
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import Precision, RunConfig
from zeropoint.train.config.device import device_of
from zeropoint.train.config.validate import check
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from zeropoint.train.loop.precision import fastest_dtype
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss
from zeropoint.train.run.memory import limit_onednn_cache, refuse_too_large, translate_oom
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.provenance import check_resumed, write_record
from zeropoint.train.run.run_lock import hold_run
from zeropoint.train.run.signals import StopRequest, graceful_shutdown
from zeropoint.train.run.trainer import RunPosition, Trainer
from zeropoint.train.schedules.schedule import WSD, Cosine, Noam

__all__ = ["dtype_of", "move_aside", "prepare_folder", "run", "schedule_of"]


def run(
    config: RunConfig,
    folder: Path,
    callbacks: Iterable[Callback] = (),
    *,
    resume: bool = False,
    group: ProcessGroup = SINGLE_PROCESS,
    asked: StopRequest | None = None,
) -> Result:
    """Train as configured, in `folder`, and tell the watchers.

    resume: go on from the newest sound checkpoint of the folder, which must be of the same model, data, seed
    and batch; without it the folder must hold no run. SIGINT and SIGTERM end it after a checkpoint, which
    `Result.exit_code` tells; where others hear them, `asked` is what they write to.
    Raises BadInput before anything is computed; MachineError for a run that another process trains, and for
    losses that are no numbers or run away; OutOfMemory, DiskError.
    """
    check(config, group.n_workers)
    if isinstance(config.objective, Seq2SeqLoss):  # whose sentences are as long as they are
        limit_onednn_cache()
    if group.rank == 0:
        prepare_folder(folder, resume)
    watcher = Callbacks(tuple(callbacks))
    with hold_run(folder, group.rank), contextlib.ExitStack() as later:
        prepared = prepare(config, watcher.on_notice)  # a signal ends this at once: there is nothing to keep
        asked = asked or later.enter_context(graceful_shutdown())
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        device = device_of(config.train.device)
        schedule = schedule_of(config, prepared.blueprint.d_model)
        dtype = dtype_of(config, device)
        if group.any(dtype is torch.float32):
            dtype = torch.float32  # measured on each machine; all must multiply alike
        # What was measured is written down, so that a run that is gone on with computes as it did.
        precision: Precision = "float32" if dtype is torch.float32 else "bfloat16"
        config = replace(config, train=replace(config.train, precision=precision))
        shard = RunPosition(device, dtype, schedule, group)
        if group.n_workers == 1:
            refuse_too_large(prepared.blueprint, device)
        with translate_oom(
            lambda: "the model", "give smaller sizes in [model], or end what else holds memory"
        ):
            trainer = Trainer(config, folder, prepared, watcher, shard, asked)
        if resume:
            found, damaged = checkpoint.newest(folder)
            for sentence in damaged:
                watcher.on_notice(f"{sentence}; going on from {found.path.name}")
            check_resumed(folder, found, config, prepared, watcher.on_notice)
            trainer.restore(found)
        if group.rank == 0:
            checkpoint.clean(folder, found if resume else None)
            write_record(folder, config, prepared, device, trainer.state.step)
        return trainer.go()


def dtype_of(config: RunConfig, device: torch.device) -> torch.dtype:
    """What is multiplied in. "auto" measures, so that it may differ between machines."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return named.get(config.train.precision) or fastest_dtype(device.type == "cpu")


def schedule_of(config: RunConfig, d_model: int) -> Callable[[int], float]:
    """The schedule, with the numbers that come from the run."""
    schedule = config.schedule
    if isinstance(schedule, Noam):
        return replace(schedule, d_model=schedule.d_model or d_model)
    if isinstance(schedule, Cosine | WSD):
        return replace(schedule, decay_steps=schedule.decay_steps or config.train.steps)
    return schedule


def prepare_folder(folder: Path, resume: bool) -> None:
    """Make the folder, or see that it fits."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; choose a folder for the run")
    has_run = bool(checkpoint.checkpoints(folder))
    if has_run and not resume:
        raise BadInput(
            f"{folder} holds a run; add --resume to go on with it, --fresh to begin anew beside it, or "
            "choose another folder"
        )
    if resume and not has_run:
        raise BadInput(f"{folder} holds no checkpoint to go on from; leave --resume out to start a run")
    if not has_run:
        _refuse_strange(folder)
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror}; choose another folder") from None


def move_aside(folder: Path) -> Path | None:
    """Give the run in `folder`, if there is one, another name, which is returned.

    Raises BadInput for a folder of other things, MachineError for a run that is being trained, DiskError.
    """
    if not folder.is_dir():
        return None
    if folder.name in ("", ".."):
        raise BadInput(f"{folder} has no name of its own; give the run's folder by its name")
    if not checkpoint.checkpoints(folder):
        _refuse_strange(folder)
    names = (folder.with_name(f"{folder.name}.old-{n}") for n in itertools.count(1))
    with hold_run(folder):
        aside = next(path for path in names if not path.exists())
        try:
            return folder.rename(aside)
        except OSError as error:
            raise disk_error(error, folder) from None


def _refuse_strange(folder: Path) -> None:
    """Refuse a folder with what a run which ended before its first checkpoint does not leave."""
    if folder.is_dir() and (odd := _strange(folder)):
        raise BadInput(f"{folder} is not empty (it holds {odd}); choose a folder of its own for the run")


def _strange(folder: Path) -> str | None:
    """The first thing in it that is not a run's."""
    ours = {"checkpoints", "lock", "config.toml", "blueprint.toml", "tokenizer.json", "run.json", "samples"}
    ours |= {"metrics.jsonl", "tensorboard", "ray"}
    names = sorted(path.name for path in folder.iterdir())
    return next((name for name in names if name not in ours and ".tmp." not in name), None)
