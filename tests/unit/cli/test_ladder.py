"""`zeropoint ladder`: rows, verdicts, exit codes and the results file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.one_thread import one_thread
from tests.unit.cli.conftest import Run

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def short_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.learn.ladders import run_ladder

    ids = np.random.default_rng(0).integers(0, 65, 3000)
    ids[[10, -10, -400]] = 64
    monkeypatch.setattr(run_ladder, "load_text", lambda name: ids)


def test_a_quick_run_prints_a_row_per_rung_and_records_nothing(run: Run, tmp_path: Path) -> None:
    results_file = tmp_path / "results.jsonl"
    result = run("ladder", "build-gpt", "--quick", "--results", str(results_file))
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert result.code == 0
    assert [row[0] for row in rows] == [
        "bigram", "head", "multi-head", "feed-forward", "residual", "layer-norm",
    ]  # fmt: skip
    assert rows[0][1:3] == ["3", "2.49 or 2.5"]
    assert rows[0][6] == "not judged"
    assert not results_file.exists()


def test_a_leak_is_named_and_a_difference_exits_with_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from zeropoint.learn.ladders.ladder import Stage
    from zeropoint.learn.ladders.published import llama

    rungs = [replace(r, stages=(Stage(2, (0.0,), 0.1, n_batches=1),)) for r in llama.LADDER.rungs]
    monkeypatch.setattr(llama, "LADDER", replace(llama.LADDER, rungs=tuple(rungs)))
    results_file = tmp_path / "results.jsonl"
    result = run("ladder", "llama", "--rung", "rms-norm", "--results", str(results_file), "--json")
    assert result.code == 1
    (rung,) = json.loads(result.out)["rungs"]
    assert (rung["verdict"], rung["leaks"], rung["steps"]) == ("differs", ["norm"], 2)
    (line,) = results_file.read_text().splitlines()
    assert json.loads(line)["ours"] == rung["ours"]
    row = run("ladder", "llama", "--rung", "rms-norm", "--results", str(results_file)).out
    assert "norm (WindowNorm) leaks future" in row
    assert len(results_file.read_text().splitlines()) == 2


def test_an_unknown_ladder_or_rung_names_the_closest(run: Run) -> None:
    result = run("ladder", "lama")
    assert (result.code, "closest: llama" in result.err) == (2, True)
    result = run("ladder", "llama", "--rung", "block")
    assert (result.code, "closest: blocks" in result.err) == (2, True)


def test_skipped_stages_are_listed_with_the_flag_that_includes_them(run: Run) -> None:
    err = run("-v", "ladder", "build-gpt", "--quick").err
    assert "skipped full at 5,000 steps; --full includes it" in err


def test_a_failed_rung_removes_the_progress_bar(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.cli import train_display
    from zeropoint.cli.console import Console
    from zeropoint.errors import BadInput
    from zeropoint.learn.ladders import run_ladder

    class CountedBar(train_display.ProgressBar):
        n_closed = 0

        def close(self) -> None:
            self.n_closed += 1
            super().close()

    def fail(*_: object, **__: object) -> None:
        raise BadInput("the run is of another model")

    bar = CountedBar(Console())
    monkeypatch.setattr(train_display, "_choose_display", lambda _: bar)
    monkeypatch.setattr(run_ladder, "run_ladder", fail)
    assert run("ladder", "build-gpt", "--quick", "--rung", "bigram").code == 2
    assert bar.n_closed == 1


def test_the_list_has_every_rung_with_its_minutes(run: Run) -> None:
    result = run("ladder", "list")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert (result.code, {row[0] for row in rows}) == (0, {"build-gpt", "harbour", "llama"})
    assert ["llama", "blocks", "15,000", "75", "--full", "four blocks, trained for longer"] in rows
    entries = json.loads(run("ladder", "list", "--json").out)
    assert len(entries) == len(rows)
    assert all(entry["minutes"] > 0 for entry in entries)


def test_the_harbour_ladder_reads_the_text_of_the_package(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.learn.ladders import run_ladder

    monkeypatch.undo()  # the short text
    monkeypatch.setenv("ZEROPOINT_OFFLINE", "1")
    assert len(run_ladder.load_text("harbour")) == 36637
    result = run("ladder", "harbour", "--quick", "--rung", "bigram")
    assert (result.code, result.out.split("\t")[0]) == (0, "bigram")


def test_steps_are_reported_to_a_bar_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.cli import train_display

    updates: list[tuple[object, ...]] = []
    monkeypatch.setattr(train_display.StepBar, "update", lambda self, *values: updates.append(values[:3]))
    assert run("ladder", "llama", "--quick", "--rung", "rms-norm").code == 0
    names = ("rms-norm", "rms-norm, corrected")
    assert updates == [(name, step, 3) for name in names for step in (1, 2, 3)]


@pytest.mark.usefixtures("terminal")
def test_the_bar_of_a_training_shows_its_name_and_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.cli.console import Console
    from zeropoint.cli.train_display import step_bar

    monkeypatch.setattr("zeropoint.cli.train_display._has_bars", lambda console: True)
    with step_bar(Console()) as bar:
        bar.update("bigram", 10, 20, 2.5)
        (task,) = bar._progress.tasks
        assert (task.description, task.completed, task.total) == ("bigram", 10, 20)
        assert task.fields["status"] == "loss 2.500"
        bar.update("head", 20, 20, 2.0)
        (task,) = bar._progress.tasks
        assert task.description == "head"
    assert bar._progress is None
