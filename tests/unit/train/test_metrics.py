"""metrics.jsonl: written line by line, without repeated steps after a resume."""

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


def write_steps(folder: Path, config: RunConfig, first: int, last: int, offset: float = 0.0) -> None:
    """Steps first + 1 to last, with an evaluation after every second one; no final event, as after a kill."""
    metrics = MetricsFile()
    metrics.on_start(RunInfo(config, folder, 1, last, first, 8, 64))
    for step in range(first + 1, last + 1):
        metrics.on_step(StepInfo(step, step * 8, 4 - step + offset, 1e-3, 1.0, 100.0, step * 0.1, 1000))
        if step % 2 == 0:
            metrics.on_eval(EvalInfo(step, step * 8, None, 4.5 - step + offset, step * 0.1, True))


def test_a_resumed_file_equals_that_of_an_uninterrupted_run(tmp_path: Path, config: RunConfig) -> None:
    for name in ("uninterrupted", "resumed"):
        (tmp_path / name).mkdir()
    write_steps(tmp_path / "uninterrupted", config, 0, 7)
    write_steps(tmp_path / "resumed", config, 0, 5)
    with (tmp_path / "resumed" / FILE).open("a") as file:
        file.write('{"kind": "step", "step": 6, "lo')  # killed within a line
    write_steps(tmp_path / "resumed", config, 2, 7)
    assert (tmp_path / "resumed" / FILE).read_bytes() == (tmp_path / "uninterrupted" / FILE).read_bytes()
    steps, evals = read_metrics(tmp_path / "resumed")
    assert [event["step"] for event in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert [event["step"] for event in evals] == [2, 4, 6]


def test_lines_are_flushed_and_contain_no_nan(tmp_path: Path, config: RunConfig) -> None:
    write_steps(tmp_path, config, 0, 1, offset=float("nan"))
    (line,) = (tmp_path / FILE).read_text().splitlines()
    assert json.loads(line)["loss"] is None
    assert "NaN" not in line


def test_an_incomplete_line_is_ignored_and_a_foreign_one_refused(tmp_path: Path, config: RunConfig) -> None:
    write_steps(tmp_path, config, 0, 2)
    path = tmp_path / FILE
    content = path.read_text()
    path.write_text(content + '{"kind": "step", "st')
    assert len(read_metrics(tmp_path)[0]) == 2
    path.write_text(content + "[]\n")
    with pytest.raises(BadInput, match="line 4 is not a training event"):
        read_metrics(tmp_path)
    path.unlink()
    assert read_metrics(tmp_path) == ([], [])
