"""The program of each Ray worker: join the process group and train in the shared folder.

A restarted worker resumes from the run's newest checkpoint. Errors that a restart cannot fix (a wrong
setting, a full disk) are written to `outcome.json` and end the run, and so do repeated losses of workers
without progress.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from zeropoint.errors import MachineError, ZeropointError
from zeropoint.files.atomic_write import atomic_file
from zeropoint.train.callbacks.callbacks import Callback, Result
from zeropoint.train.callbacks.event_log import EventWriter
from zeropoint.train.callbacks.metrics import MetricsFile, SampleFiles, TensorBoard
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.device import select_device
from zeropoint.train.distributed.ddp_fsdp import DDPGroup, FSDPGroup
from zeropoint.train.report.report import Report
from zeropoint.train.run.run import run
from zeropoint.train.run.signals import StopRequest

__all__ = ["EVENTS", "OUTCOME", "STOP", "WorkerArgs", "work"]

STOP, OUTCOME, EVENTS = "stop", "outcome.json", "events.jsonl"  # files shared by driver and workers
_STARTS = "starts"
_MAX_STARTS_PER_CHECKPOINT = 5
_REASON_S = 5.0  # time for a failed worker to write the reason, after the others lost the connection


@dataclass(frozen=True)
class WorkerArgs:
    """The arguments of each worker. environment: the driver's ZEROPOINT_ variables."""

    config: RunConfig
    folder: Path
    scratch: Path
    working_folder: Path
    environment: Mapping[str, str]


def work(loop_config: Mapping[str, Any]) -> None:
    """Train. Ray calls this in every worker, with torch.distributed initialized."""
    args: WorkerArgs = loop_config["args"]
    os.chdir(args.working_folder)
    os.environ.update(args.environment)
    outcome = args.scratch / OUTCOME
    try:
        result = _train(args)
    except ZeropointError as error:
        _write_outcome(outcome, {"error": str(error), "exit_code": error.exit_code})
        dist.destroy_process_group()  # otherwise the others would wait for this worker forever
    except RuntimeError:
        if not _has_reason(outcome):
            raise
    else:
        if dist.get_rank() == 0:
            _write_outcome(outcome, {"result": result.as_plain()})


def _train(args: WorkerArgs) -> Result:
    config = args.config
    group = (FSDPGroup if config.train.sharding == "fsdp" else DDPGroup)(select_device(config.train.device))
    is_first = group.rank == 0
    has_run = group.any(is_first and bool(checkpoint.list_checkpoints(args.folder)))
    callbacks: list[Callback] = []
    stop_request = _DriverStopRequest(args.scratch / STOP)
    with contextlib.ExitStack() as stack:
        if is_first:
            _count_start(args)
            events = EventWriter(args.scratch / EVENTS)
            report = stack.enter_context(Report(events))
            callbacks = [events, MetricsFile(), TensorBoard(), SampleFiles(), report]
        return run(config, args.folder, callbacks, resume=has_run, group=group, stop_request=stop_request)


def _write_outcome(outcome: Path, content: Mapping[str, Any]) -> None:
    """Write the outcome unless there is one: later failures follow from the first."""
    if not outcome.exists():
        with atomic_file(outcome) as file:
            file.write_text(json.dumps(content), "utf-8")


def _has_reason(outcome: Path) -> bool:
    """Whether another worker has written the reason of a failure; waits for it briefly."""
    end = time.monotonic() + _REASON_S
    while not outcome.exists() and time.monotonic() < end:
        time.sleep(0.1)
    return outcome.exists()


class _DriverStopRequest(StopRequest):
    """A stop request of the driver, which it writes to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:  # type: ignore[override]
        try:
            return self._path.read_text("utf-8")
        except OSError:
            return ""


def _count_start(args: WorkerArgs) -> None:
    """Record a start. Raises MachineError after too many starts without a new checkpoint."""
    latest = checkpoint.resolve_pointer(args.folder, "latest")
    name = latest.name if latest else "none"
    path = args.scratch / _STARTS
    with path.open("a") as file:
        file.write(f"{name}\n")
    if path.read_text().splitlines()[-_MAX_STARTS_PER_CHECKPOINT:] == [name] * _MAX_STARTS_PER_CHECKPOINT:
        raise MachineError(
            f"workers were lost {_MAX_STARTS_PER_CHECKPOINT - 1} times without a new checkpoint; check "
            "Ray's logs and the machines' memory, or reduce train.checkpoint_every"
        )
