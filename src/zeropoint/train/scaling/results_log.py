"""Log a scaling study as JSONL, so that it can resume: a line for the plan, then one per finished run.

Lines are appended and flushed one at a time. An incomplete last line is dropped, and its run is trained
again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput, DiskError
from zeropoint.files.atomic_write import append_lines
from zeropoint.files.regular_file import read_regular
from zeropoint.train.scaling.grid import Cell, Grid

__all__ = ["FinishedRun", "ResultsLog"]

_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class FinishedRun:
    """A finished run. loss: validation loss in nats per token. seconds: training and evaluation."""

    cell: Cell
    loss: float
    seconds: float


class ResultsLog:
    """path: the file. config_toml: the study's configuration; a log of another one is refused."""

    def __init__(self, path: Path, config_toml: str) -> None:
        self.path = path
        self._config_toml = config_toml
        self.grid: Grid | None = None
        self.machine: dict[str, Any] = {}
        self.runs: list[FinishedRun] = []
        self._read()

    def begin(self, grid: Grid, machine: dict[str, Any]) -> None:
        """Log the plan. machine: facts that explain the timings."""
        self.grid, self.machine = grid, machine
        self._add(
            {
                "config": self._config_toml,
                "machine": machine,
                "cells": [asdict(cell) for cell in grid.cells],
                "next": asdict(grid.next),
                "next_share": grid.next_share,
            }
        )

    def add(self, run: FinishedRun) -> None:
        """Log a finished run. Raises DiskError."""
        self._add(asdict(run))
        self.runs.append(run)

    def find(self, cell: Cell) -> FinishedRun | None:
        """The finished run of a cell, or None."""
        return next((run for run in self.runs if run.cell == cell), None)

    @property
    def seconds(self) -> float:
        """Total time of the finished runs."""
        return sum(run.seconds for run in self.runs)

    def _read(self) -> None:
        try:
            content = read_regular(self.path, _MAX_BYTES)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DiskError(f"{self.path} cannot be read: {error.strerror}") from None
        complete = content[: content.rfind(b"\n") + 1]
        lines = [self._line(i, line) for i, line in enumerate(complete.splitlines(), start=1)]
        if len(complete) < len(content):
            os.truncate(self.path, len(complete))
        if not lines:
            return
        if lines[0].get("config") != self._config_toml:
            raise BadInput(
                f"{self.path} belongs to another configuration or time budget; choose another --out"
            )
        try:
            plan = lines[0]
            cells = tuple(Cell(**cell) for cell in plan["cells"])
            self.grid = Grid(cells, Cell(**plan["next"]), float(plan["next_share"]))
            self.machine = plan["machine"]
            self.runs = [
                FinishedRun(Cell(**r["cell"]), float(r["loss"]), float(r["seconds"])) for r in lines[1:]
            ]
        except (KeyError, TypeError, ValueError):
            raise BadInput(
                f"{self.path} is not a results file of `zeropoint scaling`; choose another --out"
            ) from None

    def _line(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise BadInput(
                f"{self.path}, line {number}, is not JSON; remove that line, and its run is trained again"
            )
        return value

    def _add(self, value: dict[str, Any]) -> None:
        append_lines(self.path, json.dumps(value))
