"""Write metrics and samples to the run folder: metrics.jsonl, TensorBoard events, samples/.

    {"kind": "step", "step": 120, "tokens": 92160, "loss": 2.31, "learning_rate": 0.001, ...}
    {"kind": "eval", "step": 120, ..., "train_loss": 2.29, "validation_loss": 2.33, "is_best": true}

Each line is written and flushed when it happens. A resumed run first truncates the lines after its
checkpoint, so that no step appears twice.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.disk_errors import as_disk_error, disk_error
from zeropoint.files.regular_file import open_regular, read_regular
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, RunInfo, StepInfo

__all__ = ["FILE", "MetricsFile", "SampleFiles", "TensorBoard", "read_metrics"]

FILE = "metrics.jsonl"
_MAX_BYTES = 1 << 30
_KEYS = {"n_tokens": "tokens", "tok_s": "tokens_per_second"}  # of the file, for the short names in code


class MetricsFile(Callback):
    """Writes metrics.jsonl. Raises DiskError."""

    def on_start(self, info: RunInfo) -> None:
        self._path = info.folder / FILE
        try:
            truncate_after(self._path, info.first_step)
        except OSError as error:
            raise disk_error(error, self._path) from None

    def on_step(self, info: StepInfo) -> None:
        self._write("step", asdict(info))

    def on_eval(self, info: EvalInfo) -> None:
        self._write("eval", asdict(info))

    def _write(self, kind: str, values: dict[str, Any]) -> None:
        nonempty = {_KEYS.get(name, name): value for name, value in values.items() if value != {}}
        line = json.dumps({"kind": kind, **_rounded(nonempty)})
        try:
            with open(self._path, "a", encoding="utf-8") as file:  # not held open between lines
                file.write(f"{line}\n")
        except OSError as error:
            raise disk_error(error, self._path) from None


class TensorBoard(Callback):
    """Writes TensorBoard events to the folder `tensorboard`; does nothing if tensorboard is not installed."""

    def __init__(self) -> None:
        self._writer: Any = None

    def on_start(self, info: RunInfo) -> None:
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            # A resumed run discards the events after its checkpoint.
            purge = info.first_step + 1 if info.first_step else None
            folder = str(info.folder / "tensorboard")
            self._writer = SummaryWriter(folder, purge_step=purge)

    def on_step(self, info: StepInfo) -> None:
        for name in ("loss", "learning_rate", "gradient_norm", "tok_s"):
            self._add(f"train/{_KEYS.get(name, name)}", getattr(info, name), info.step)
        for name, fraction in info.near_zero.items():
            self._add(f"near_zero/{name}", fraction, info.step)

    def on_eval(self, info: EvalInfo) -> None:
        self._add("eval/validation_loss", info.validation_loss, info.step)
        if info.train_loss is not None:
            self._add("eval/train_loss", info.train_loss, info.step)

    def on_sample(self, step: int, text: str) -> None:
        if self._writer is not None:
            self._writer.add_text("sample", f"<pre>{text}</pre>", step)

    def on_end(self, result: Result) -> None:
        if self._writer is not None:
            self._writer.close()

    def _add(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)


class SampleFiles(Callback):
    """Writes each sample to samples/step-000250.txt. Raises DiskError."""

    def on_start(self, info: RunInfo) -> None:
        self._folder = info.folder / "samples"

    def on_sample(self, step: int, text: str) -> None:
        path = self._folder / f"step-{step:06d}.txt"
        with as_disk_error(path):
            self._folder.mkdir(exist_ok=True)
        replace_file(path, text.encode())


def read_metrics(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The steps and the evaluations of a run, in order. Raises BadInput for a line of another format.

    Ignores an incomplete last line, which a killed run may leave.
    """
    path = run / FILE
    events: dict[str, list[dict[str, Any]]] = {"step": [], "eval": []}
    try:
        lines = read_regular(path, _MAX_BYTES).decode("utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); the loss curve needs it") from None
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            break
        try:
            values = json.loads(line)
            events[values.pop("kind")].append(values)
            values["step"] + 1
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadInput(f"{path}: line {number} is not a training event; remove that line") from None
    return events["step"], events["eval"]


def truncate_after(path: Path, step: int) -> None:
    """Truncate a metrics file before its first line that is incomplete or belongs to a later step.

    Raises OSError, BadInput for a FIFO or device.
    """
    if not path.exists():
        return
    end = 0
    with open_regular(path, for_writing=True) as file:
        for line in file:
            try:
                is_valid = line.endswith(b"\n") and json.loads(line)["step"] <= step
            except (ValueError, KeyError, TypeError):
                is_valid = False
            if not is_valid:
                break
            end += len(line)
        file.truncate(end)


def _rounded(value: Any) -> Any:
    """Round to the seven digits of float32; NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value
