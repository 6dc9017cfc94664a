"""What a run measures is kept line by line, and a run that goes on writes no step twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.train.callbacks.callbacks import EvalInfo, RunInfo, StepInfo
from zeropoint.train.callbacks.metrics import FILE, MetricsFile, read_metrics
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.io import read_config


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return read_config("harbour")


def sitting(folder: Path, config: RunConfig, first: int, last: int, offset: float = 0.0) -> None:
    """Steps first + 1 to last, an evaluation after each second one; the file is left open, as by a kill."""
    watcher = MetricsFile()
    watcher.on_start(RunInfo(config, folder, 1, last, first, 8))
    for step in range(first + 1, last + 1):
        watcher.on_step(StepInfo(step, step * 8, 4 - step + offset, 1e-3, 1.0, 100.0, step * 0.1, 1000))
        if step % 2 == 0:
            watcher.on_eval(EvalInfo(step, step * 8, None, 4.5 - step + offset, step * 0.1, True))


def test_a_resumed_file_is_that_of_a_run_without_a_break(tmp_path: Path, config: RunConfig) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    sitting(tmp_path / "whole", config, 0, 7)
    sitting(tmp_path / "parts", config, 0, 5)
    with (tmp_path / "parts" / FILE).open("a") as file:
        file.write('{"kind": "step", "step": 6, "lo')  # killed in the middle of a line
    sitting(tmp_path / "parts", config, 2, 7)
    assert (tmp_path / "parts" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()
    steps, evals = read_metrics(tmp_path / "parts")
    assert [one["step"] for one in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert [one["step"] for one in evals] == [2, 4, 6]


def test_a_line_is_there_at_once_and_has_no_nan(tmp_path: Path, config: RunConfig) -> None:
    sitting(tmp_path, config, 0, 1, offset=float("nan"))
    (line,) = (tmp_path / FILE).read_text().splitlines()
    assert json.loads(line)["loss"] is None
    assert "NaN" not in line


def test_half_a_line_is_passed_over_and_a_strange_one_named(tmp_path: Path, config: RunConfig) -> None:
    sitting(tmp_path, config, 0, 2)
    path = tmp_path / FILE
    whole = path.read_text()
    path.write_text(whole + '{"kind": "step", "st')
    assert len(read_metrics(tmp_path)[0]) == 2
    path.write_text(whole + "[]\n")
    with pytest.raises(BadInput, match="line 4 is no measurement"):
        read_metrics(tmp_path)
    path.unlink()
    assert read_metrics(tmp_path) == ([], [])
