"""What each worker on Ray does: joins the others, and trains its part of the run in the shared folder.

A worker that is started again finds the run's newest checkpoint and goes on from it. An error of ours (a bad
field, a full disk) is written down and ends the run: to start again would not help. So are workers that are
lost again and again with no step gained.
"""

from __future__ import annotations

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

__all__ = ["ASKED", "OUTCOME", "TOLD", "Given", "work"]

ASKED, OUTCOME, TOLD = "asked", "outcome.json", "told.jsonl"  # files that the driver and the workers share
_STARTS = "starts"
_STARTS_AT_A_STEP = 5
_OTHERS_S = 5.0  # in which the worker that knows why says so, after the others lost it


@dataclass(frozen=True)
class Given:
    """What each worker gets. environment: the driver's ZEROPOINT_ variables."""

    config: RunConfig
    folder: Path
    scratch: Path
    working_folder: Path
    environment: Mapping[str, str]


def work(loop_config: Mapping[str, Any]) -> None:
    """Train; Ray calls it in every worker, its process group up."""
    given: Given = loop_config["given"]
    os.chdir(given.working_folder)
    os.environ.update(given.environment)
    outcome = given.scratch / OUTCOME
    try:
        result = _trained(given)
    except ZeropointError as error:
        _write_down(outcome, {"error": str(error), "exit_code": error.exit_code})
        dist.destroy_process_group()  # the others wait for this worker, and must not for ever
    except RuntimeError:
        if not _is_told(outcome):
            raise
    else:
        if dist.get_rank() == 0:
            _write_down(outcome, {"result": result.as_plain()})


def _trained(given: Given) -> Result:
    config = given.config
    group = (FSDPGroup if config.train.sharding == "fsdp" else DDPGroup)(select_device(config.train.device))
    is_first = group.rank == 0
    has_run = group.any(is_first and bool(checkpoint.list_checkpoints(given.folder)))
    callbacks: list[Callback] = []
    if is_first:
        _count_start(given)
        teller = EventWriter(given.scratch / TOLD)
        callbacks = [teller, MetricsFile(), TensorBoard(), SampleFiles(), Report(teller)]
    asked = _AskedThere(given.scratch / ASKED)
    return run(config, given.folder, callbacks, resume=has_run, group=group, stop_request=asked)


def _write_down(outcome: Path, content: Mapping[str, Any]) -> None:
    """The first word counts: what others say after it follows from it."""
    if not outcome.exists():
        with atomic_file(outcome) as file:
            file.write_text(json.dumps(content), "utf-8")


def _is_told(outcome: Path) -> bool:
    """Whether another worker says why, now or soon."""
    end = time.monotonic() + _OTHERS_S
    while not outcome.exists() and time.monotonic() < end:
        time.sleep(0.1)
    return outcome.exists()


class _AskedThere(StopRequest):
    """Whether a signal came to the driver: a file tells."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:  # type: ignore[override]
        try:
            return self._path.read_text("utf-8")
        except OSError:
            return ""


def _count_start(given: Given) -> None:
    """Raises MachineError where the workers have been started too often without a checkpoint in between."""
    latest = checkpoint.resolve_pointer(given.folder, "latest")
    name = latest.name if latest else "none"
    path = given.scratch / _STARTS
    with path.open("a") as file:
        file.write(f"{name}\n")
    if path.read_text().splitlines()[-_STARTS_AT_A_STEP:] == [name] * _STARTS_AT_A_STEP:
        raise MachineError(
            f"workers were lost {_STARTS_AT_A_STEP - 1} times without a new checkpoint; look at Ray's logs, "
            "give the machines more memory, or set a smaller train.checkpoint_every"
        )
