"""Train by a configuration: create or resume a run folder, prepare the data, and start the trainer.

The folder holds config.toml, blueprint.toml, tokenizer.json, run.json, checkpoints/ and the pointers `latest`
and `best` (`checkpoints/checkpoint.py`); callbacks write the other files. Whatever ends a run, its last
checkpoint stays in the folder.
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
from zeropoint.train.callbacks.callbacks import Callback, CallbackList, Result
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import Precision, RunConfig
from zeropoint.train.config.device import select_device
from zeropoint.train.config.validate import check
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from zeropoint.train.loop.precision import fastest_dtype
from zeropoint.train.run.memory import check_fits_memory, limit_onednn_cache, translate_oom
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.provenance import check_resumable, write_provenance
from zeropoint.train.run.run_lock import lock_run
from zeropoint.train.run.signals import StopRequest, graceful_shutdown
from zeropoint.train.run.trainer import RunContext, Trainer

__all__ = ["move_aside", "prepare_folder", "run", "select_dtype", "start_over"]


def run(
    config: RunConfig,
    folder: Path,
    callbacks: Iterable[Callback] = (),
    *,
    resume: bool = False,
    group: ProcessGroup = SINGLE_PROCESS,
    stop_request: StopRequest | None = None,
) -> Result:
    """Train by the configuration in `folder` and report events to the callbacks.

    resume: continue from the newest intact checkpoint of the folder, which must have the same model, data,
    seed and batch size; otherwise the folder must not hold a run. SIGINT and SIGTERM end the run after a
    checkpoint (see `Result.exit_code`). stop_request: set by the caller where another process receives the
    signals.
    Raises BadInput before anything is computed; MachineError if another process trains this run, or if the
    loss diverges or is not finite; OutOfMemory, DiskError.
    """
    check(config, group.n_workers)
    if config.objective.data == "pairs":  # batches of sentences have many different shapes
        limit_onednn_cache()
    if group.rank == 0:
        prepare_folder(folder, resume)
    callback = CallbackList(tuple(callbacks))
    with lock_run(folder, group.rank), contextlib.ExitStack() as stack:
        prepared = prepare(
            config, callback.on_notice
        )  # a signal here ends the run at once: nothing to save yet
        stop_request = stop_request or stack.enter_context(graceful_shutdown())
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        device = select_device(config.train.device)
        schedule = config.schedule.for_run(config.train.steps, prepared.blueprint.d_model)
        dtype = select_dtype(config, device)
        if group.any(dtype is torch.float32):
            dtype = torch.float32  # "auto" measures each machine; all workers must use the same type
        # Store the measured type, so that a resumed run computes as before.
        precision: Precision = "float32" if dtype is torch.float32 else "bfloat16"
        config = replace(config, train=replace(config.train, precision=precision))
        context = RunContext(device, dtype, schedule, group)
        if group.n_workers == 1:
            check_fits_memory(prepared.blueprint, device)
        with translate_oom(
            lambda: "the model", "choose smaller sizes in [model], or free memory that other programs use"
        ):
            trainer = Trainer(config, folder, prepared, callback, context, stop_request)
        saved = None
        if resume:
            saved, damaged = checkpoint.load_newest(folder)
            for sentence in damaged:
                callback.on_notice(f"{sentence}; resuming from {saved.path.name}")
            check_resumable(folder, saved, config, prepared, callback.on_notice)
            trainer.restore(saved)
        if group.rank == 0:
            checkpoint.remove_leftovers(folder, saved)
            write_provenance(folder, config, prepared, device, trainer.state.step)
        return trainer.run()


def select_dtype(config: RunConfig, device: torch.device) -> torch.dtype:
    """The autocast type. "auto" measures the device, so it may differ between machines."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return named.get(config.train.precision) or fastest_dtype(device.type == "cpu")


def prepare_folder(folder: Path, resume: bool) -> None:
    """Create the run's folder, or check that an existing one is suitable. Raises BadInput."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; choose a folder for the run")
    has_run = bool(checkpoint.list_checkpoints(folder))
    if has_run and not resume:
        raise BadInput(
            f"{folder} already holds a run; add --resume to continue it, --fresh to rename it and start "
            "over, or choose another folder"
        )
    if resume and not has_run:
        raise BadInput(f"{folder} holds no checkpoint to resume from; omit --resume to start a run")
    if not has_run:
        _refuse_foreign_files(folder)
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be created: {error.strerror}; choose another folder") from None


def start_over(
    config: RunConfig, folder: Path, notice: Callable[[str], None] = lambda text: None
) -> Path | None:
    """Rename the run in `folder` as `move_aside` does, but only if `config` can be trained.

    A setting, data set or device that cannot be used is thus reported before anything is renamed. Raises as
    `run` and `move_aside` do.
    """
    if not folder.is_dir():
        return None
    check(config, 1)
    prepared = prepare(config, notice)
    check_fits_memory(prepared.blueprint, select_device(config.train.device))
    return move_aside(folder)


def move_aside(folder: Path) -> Path | None:
    """Rename the run in `folder`, if there is one, to NAME.old-1, -2, ... and return the new path.

    Raises BadInput for a folder with other files, MachineError for a run that is being trained, DiskError.
    """
    if not folder.is_dir():
        return None
    if folder.name in ("", ".."):
        raise BadInput(f"{folder} does not end in a name; give the run's folder by its name")
    if not checkpoint.list_checkpoints(folder):
        _refuse_foreign_files(folder)
    candidates = (folder.with_name(f"{folder.name}.old-{n}") for n in itertools.count(1))
    with lock_run(folder):
        target = next(path for path in candidates if not path.exists())
        try:
            return folder.rename(target)
        except OSError as error:
            raise disk_error(error, folder) from None


def _refuse_foreign_files(folder: Path) -> None:
    """Raise BadInput for a folder that contains anything except the files of a run."""
    if folder.is_dir() and (name := _foreign_file(folder)):
        raise BadInput(
            f"{folder} is not empty (it contains {name}); choose an empty or new folder for the run"
        )


def _foreign_file(folder: Path) -> str | None:
    """The first file that does not belong to a run."""
    own = {"checkpoints", "lock", "config.toml", "blueprint.toml", "tokenizer.json", "run.json", "samples"}
    own |= {"metrics.jsonl", "tensorboard", "ray", "report.html", "loss.png"}
    names = sorted(path.name for path in folder.iterdir())
    return next((name for name in names if name not in own and ".tmp." not in name), None)
