"""What a run tells in one process, told again in another: a file of JSON lines that grows between the two."""

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
    """Writes down what happens. Raises DiskError where that is not possible."""

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
    """Reads what a Teller wrote and tells a watcher. A run that starts again is told as a notice."""

    def __init__(self, config: RunConfig, folder: Path, path: Path, watcher: Callback) -> None:
        self._config, self._folder, self._path, self._watcher = config, folder, path, watcher
        self._at = 0
        self._has_started = False

    def tell(self) -> None:
        """Whatever is new. A line that is not whole yet is left for later."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._at)
                new = file.read()
        except OSError:
            return  # nobody has written yet
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            told = json.loads(line)
            self._tell(told["kind"], told["values"])

    def _tell(self, kind: str, values: dict[str, Any]) -> None:
        watcher = self._watcher
        if kind == "start" and self._has_started:
            watcher.on_notice(f"a worker was lost; going on after step {values['first_step']}")
        elif kind == "start":
            self._has_started = True
            watcher.on_start(RunInfo(config=self._config, folder=self._folder, **values))
        elif kind == "step":
            watcher.on_step(StepInfo(**values))
        elif kind == "eval":
            watcher.on_eval(EvalInfo(**values))
        elif kind == "sample":
            watcher.on_sample(values["step"], values["text"])
        elif kind == "checkpoint":
            watcher.on_checkpoint(Path(values["path"]))
        else:
            watcher.on_notice(values["text"])
