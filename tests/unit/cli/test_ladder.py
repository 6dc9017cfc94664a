"""ladder as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.one_thread import one_thread
from tests.unit.cli.conftest import Run

__all__ = ["one_thread"]


@pytest.fixture(autouse=True)
def little_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.learn import run_ladder

    ids = np.random.default_rng(0).integers(0, 65, 3000)
    ids[[10, -10, -400]] = 64
    monkeypatch.setattr(run_ladder, "shakespeare", lambda: ids)


def test_a_quick_ladder_prints_a_row_a_rung_and_keeps_nothing(run: Run, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    result = run("ladder", "build-gpt", "--quick", "--ledger", str(ledger))
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert result.code == 0
    assert [row[0] for row in rows] == [
        "bigram", "head", "multi-head", "feed-forward", "residual", "layer-norm",
    ]  # fmt: skip
    assert rows[0][1:3] == ["3", "2.49 or 2.5"]
    assert rows[0][6] == "not judged"
    assert not ledger.exists()


def test_a_rung_that_leaks_is_named_and_what_differs_ends_with_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from zeropoint.learn.ladder import Stage
    from zeropoint.learn.ladders import llama

    rungs = [replace(r, stages=(Stage(2, (0.0,), 0.1, n_batches=1),)) for r in llama.LADDER.rungs]
    monkeypatch.setattr(llama, "LADDER", replace(llama.LADDER, rungs=tuple(rungs)))
    ledger = tmp_path / "ledger.jsonl"
    result = run("ladder", "llama", "--rung", "rms-norm", "--ledger", str(ledger), "--json")
    assert result.code == 1
    (rung,) = json.loads(result.out)["rungs"]
    assert (rung["verdict"], rung["leaks"], rung["n_steps"]) == ("differs", ["norm"], 2)
    (line,) = ledger.read_text().splitlines()
    assert json.loads(line)["ours"] == rung["ours"]
    row = run("ladder", "llama", "--rung", "rms-norm", "--ledger", str(ledger)).out
    assert "norm (WindowNorm) lets later tokens through" in row
    assert len(ledger.read_text().splitlines()) == 2


def test_an_unknown_ladder_or_rung_is_refused_with_the_closest(run: Run) -> None:
    result = run("ladder", "lama")
    assert (result.code, "closest: llama" in result.err) == (2, True)
    result = run("ladder", "llama", "--rung", "block")
    assert (result.code, "closest: blocks" in result.err) == (2, True)


def test_what_is_left_out_is_told_with_its_flag(run: Run) -> None:
    told = run("-v", "ladder", "build-gpt", "--quick").err
    assert "full was left out at 5,000 steps: --full trains it" in told


def test_a_rung_that_fails_takes_the_bar_with_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from zeropoint.cli import train_display
    from zeropoint.cli.console import Console
    from zeropoint.errors import BadInput
    from zeropoint.learn import run_ladder

    class Shown(train_display.Bar):
        n_closed = 0

        def close(self) -> None:
            self.n_closed += 1
            super().close()

    def fail(*_: object, **__: object) -> None:
        raise BadInput("the run is of another model")

    bar = Shown(Console())
    monkeypatch.setattr(train_display, "_screen", lambda _: bar)
    monkeypatch.setattr(run_ladder, "climb", fail)
    assert run("ladder", "build-gpt", "--quick", "--rung", "bigram").code == 2
    assert bar.n_closed == 1
