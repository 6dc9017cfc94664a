"""Forward training events between processes through an append-only JSONL file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zeropoint.files.disk_errors import disk_error
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, RunInfo, StepInfo
from zeropoint.train.config.config import RunConfig

__all__ = ["EventReader", "EventWriter"]


class EventWriter(Callback):
    """Appends every event to the file. Raises DiskError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_start(self, info: RunInfo) -> None:
        numbers = {k: v for k, v in vars(info).items() if isinstance(v, int)}
        self._write("start", numbers)

    def on_step(self, info: StepInfo) -> None:
        self._write("step", asdict(info))

    def on_eval(self, info: EvalInfo) -> None:
        self._write("eval", asdict(info))

    def on_sample(self, step: int, text: str) -> None:
        self._write("sample", {"step": step, "text": text})

    def on_checkpoint(self, path: Path) -> None:
        self._write("checkpoint", {"path": str(path)})

    def on_notice(self, text: str) -> None:
        self._write("notice", {"text": text})

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, "values": values}) + "\n")
        except OSError as error:
            raise disk_error(error, self._path) from None


class EventReader:
    """Reads the events of an `EventWriter` and forwards them to a callback.

    A second start becomes a notice.
    """

    def __init__(self, config: RunConfig, folder: Path, path: Path, callback: Callback) -> None:
        self._config, self._folder, self._path, self._callback = config, folder, path, callback
        self._offset = 0
        self._has_started = False

    def forward(self) -> None:
        """Forward new events; an incomplete last line waits for the next call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                new = file.read()
        except OSError:
            return  # nothing has been written yet
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            event = json.loads(line)
            self._forward(event["kind"], event["values"])

    def _forward(self, kind: str, values: dict[str, Any]) -> None:
        callback = self._callback
        if kind == "start" and self._has_started:
            callback.on_notice(f"a worker was lost; resuming after step {values['first_step']}")
        elif kind == "start":
            self._has_started = True
            callback.on_start(RunInfo(config=self._config, folder=self._folder, **values))
        elif kind == "step":
            callback.on_step(StepInfo(**values))
        elif kind == "eval":
            callback.on_eval(EvalInfo(**values))
        elif kind == "sample":
            callback.on_sample(values["step"], values["text"])
        elif kind == "checkpoint":
            callback.on_checkpoint(Path(values["path"]))
        else:
            callback.on_notice(values["text"])
