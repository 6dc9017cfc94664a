"""`zeropoint scaling`: the table, the fitted law with intervals, and the checked prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.cli.conftest import Run as Cli
from zeropoint.train.scaling import study as study_module
from zeropoint.train.scaling.grid import Cell, Grid
from zeropoint.train.scaling.law import Law, fit_law
from zeropoint.train.scaling.results_log import FinishedRun
from zeropoint.train.scaling.study import Prediction, Study

LAW = Law(1.0, 20, 30, 0.3, 0.25)


def study_with(loss: float) -> Study:
    """A study whose final model reached `loss`."""
    cells = [Cell(8 * h, h, 1000 * h * h, s, 64 * s) for s in (50, 100, 200) for h in (1, 2, 4)]
    losses = [float(LAW.loss(c.n_parameters, c.n_tokens)) for c in cells]
    losses = list(np.array(losses) * np.exp(np.random.default_rng(0).normal(0, 0.01, len(cells))))
    fitted = fit_law([c.n_parameters for c in cells], [c.n_tokens for c in cells], losses, n_resamples=20)
    last = Cell(64, 8, 64_000, 400, 25_600)
    return Study(
        Grid(tuple(cells), last, 0.3),
        tuple(FinishedRun(c, x, 1.0) for c, x in zip(cells, losses, strict=True)),
        fitted,
        Prediction(last, *fitted.predict(last.n_parameters, last.n_tokens)),
        FinishedRun(last, loss, 5.0),
        {"precision": "float32"},
        14.0,
    )


@pytest.mark.train
@pytest.mark.parametrize(("loss", "verdict"), [(None, "inside"), (9.0, "outside")])
def test_the_prediction_is_compared_with_the_measured_loss(
    loss: float | None, verdict: str, run: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = study_with(1.0).prediction
    study = study_with(prediction.loss if loss is None else loss)
    budgets: list[float] = []
    monkeypatch.setattr(
        study_module, "run_study", lambda config, budget_s, out, notify: (budgets.append(budget_s), study)[1]
    )
    result = run("scaling", "--time-budget", "90s", "--out", str(tmp_path))
    assert (result.code, budgets) == (0, [90.0])
    lines = result.out.splitlines()
    assert len([line for line in lines if line.count("\t") == 4]) == 10
    assert f"{verdict} the interval" in result.out
    assert "N excluding embeddings" in result.out
    assert (tmp_path / "law.png").stat().st_size < 150_000

    output = json.loads(run("scaling", "--out", str(tmp_path), "--json").out)
    assert output["inside_interval"] == (verdict == "inside")
    assert output["law"]["alpha"]["interval"][0] <= output["law"]["alpha"]["interval"][1]
    assert len(output["runs"]) == 10


def test_a_bad_time_budget_and_a_fixed_model_size_are_rejected(run: Cli, tmp_path: Path) -> None:
    result = run("scaling", "--time-budget", "soon", "--out", str(tmp_path))
    assert (result.code, "--time-budget" in result.err) == (2, True)
    result = run("scaling", "harbour", "--set", "model.d_model=30", "--out", str(tmp_path))
    assert result.code == 2
