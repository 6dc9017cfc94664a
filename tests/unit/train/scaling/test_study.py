"""Scaling studies: planning a grid for a time budget, training it, and resuming after an interruption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.files.locks import sole_writer
from zeropoint.train.config.config import DataConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from zeropoint.train.run.build_model import blueprint_of
from zeropoint.train.scaling import study as study_module
from zeropoint.train.scaling.grid import Cell, count_without_embeddings, model_sizes, plan_grid
from zeropoint.train.scaling.plot import draw_law
from zeropoint.train.scaling.results_log import FinishedRun, ResultsLog
from zeropoint.train.scaling.study import run_study

MODEL = ModelConfig(n_layers=1, n_heads=2, d_model=16, n_ctx=8)
CONFIG = RunConfig(
    MODEL,
    DataConfig("harbour"),
    TrainConfig(batch_size=4, check_causality=False),
    eval=EvalConfig(n_batches=1),
)


def test_sizes_roughly_double_in_whole_heads() -> None:
    found = [(m.n_heads, m.d_model) for m in model_sizes(MODEL, 7)]
    assert found == [(1, 8), (2, 16), (3, 24), (4, 32), (6, 48), (8, 64), (11, 88)]
    with pytest.raises(BadInput, match=r"no model\.blueprint"):
        model_sizes(ModelConfig(blueprint="gpt2"), 3)


def test_embeddings_positions_and_head_are_not_counted() -> None:
    blueprint = blueprint_of(replace(MODEL, d_model=16), n_vocab=1000)
    gains = 3 * 16
    assert count_without_embeddings(blueprint) == 12 * 16 * 16 + gains
    assert count_without_embeddings(replace(blueprint, n_vocab=9)) == 12 * 16 * 16 + gains


def models() -> list[tuple[ModelConfig, int]]:
    return [(m, m.d_model**2 * 12) for m in model_sizes(MODEL, 7)]


@pytest.mark.parametrize("budget_s", [20.0, 300.0, 5000.0])
def test_a_grid_uses_nine_tenths_of_its_budget(budget_s: float) -> None:
    def seconds_per_step(i: int) -> float:
        return 0.001 * 2**i

    grid = plan_grid(models(), seconds_per_step, 32, budget_s)
    index = {m.d_model: i for i, (m, _) in enumerate(models())}
    spent = sum(seconds_per_step(index[c.d_model]) * c.n_steps for c in (*grid.cells, grid.next))
    assert 0.8 * budget_s < spent <= 0.9 * budget_s
    next_s = seconds_per_step(index[grid.next.d_model]) * grid.next.n_steps
    assert grid.next_share == pytest.approx(next_s / spent)
    assert len(grid.cells) >= (9 if budget_s < 100 else 16)
    assert grid.next.n_parameters > max(c.n_parameters for c in grid.cells)
    assert grid.next.n_tokens == 2 * max(c.n_tokens for c in grid.cells)
    assert [c.n_steps for c in grid.cells] == sorted(c.n_steps for c in grid.cells)


def test_a_budget_that_is_too_small_names_one_that_suffices() -> None:
    with pytest.raises(BadInput, match="set --time-budget 4m"):
        plan_grid(models(), lambda i: 0.1, 32, 60.0)
    with pytest.raises(BadInput, match=r"^0 s remain after measuring, too few"):
        plan_grid(models(), lambda i: 0.1, 32, -2.0)


@pytest.mark.train
def test_a_study_resumes_and_checks_its_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = tuple(
        Cell(8 * h, h, 12 * (8 * h) ** 2 + 24 * h, steps, steps * 32)
        for steps in (4, 8, 16)
        for h in (1, 2, 3)
    )
    grid = study_module.Grid(cells, Cell(32, 4, 12 * 32**2 + 96, 32, 1024))
    monkeypatch.setattr(study_module, "_plan", lambda trainer, budget_s: grid)
    monkeypatch.setattr(study_module, "_EVAL_TOKENS", 64)
    notices: list[str] = []

    def interrupted(text: str) -> None:
        notices.append(text)
        if len(notices) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(CONFIG, 600.0, tmp_path, interrupted)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"cell": {"d_mo')  # as after a power failure
    before = (tmp_path / "results.jsonl").read_text().splitlines()[:-1]

    notices.clear()
    result = run_study(CONFIG, 600.0, tmp_path, notices.append)
    after = (tmp_path / "results.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    assert "5 of 10 runs are done" in notices[0]
    assert [Cell(**json.loads(line)["cell"]) for line in after[1:]] == [*cells, result.checked.cell]
    assert result.prediction.lower < result.prediction.loss < result.prediction.upper
    assert result.prediction.contains(result.checked.loss) == (
        result.prediction.lower <= result.checked.loss <= result.prediction.upper
    )
    trainer = study_module._Trainer(CONFIG)
    assert trainer.loss(cells[7], 7) == result.runs[7].loss  # unaffected by the interruption

    draw_law(result, tmp_path / "law.png")
    assert (tmp_path / "law.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadInput, match="another configuration"):
        run_study(CONFIG, 601.0, tmp_path)


def test_the_larger_run_gets_fewer_tokens_on_a_slower_machine(tmp_path: Path) -> None:
    cell, last = Cell(8, 1, 792, 4, 128), Cell(16, 2, 3120, 100, 3200)
    log = ResultsLog(tmp_path / "results.jsonl", "x")
    log.add(FinishedRun(cell, 3.5, 60.0))
    grid = study_module.Grid((cell,), last, next_share=0.25)  # it is expected to take 20 s
    assert study_module._affordable(grid, log, 30.0) == last
    assert study_module._affordable(grid, log, 15.0) == replace(last, n_steps=75, n_tokens=2400)
    assert study_module._affordable(grid, log, 1.0) == replace(last, n_steps=50, n_tokens=1600)


def test_a_damaged_results_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"config": "x"}\n')
    with pytest.raises(BadInput, match="is not a results file"):
        ResultsLog(path, "x")
    path.write_text("broken\n")
    with pytest.raises(BadInput, match="line 1"):
        ResultsLog(path, "x")


def test_finished_runs_are_found_by_cell(tmp_path: Path) -> None:
    cell = Cell(8, 1, 792, 4, 128)
    log = ResultsLog(tmp_path / "results.jsonl", "x")
    log.begin(study_module.Grid((cell,), cell), {})
    log.add(FinishedRun(cell, 3.5, 0.25))
    again = ResultsLog(tmp_path / "results.jsonl", "x")
    assert again.find(cell) == FinishedRun(cell, 3.5, 0.25)
    assert again.find(replace(cell, n_steps=5)) is None
    assert again.seconds == 0.25


def test_a_study_that_another_process_is_running_is_refused(tmp_path: Path) -> None:
    busy = pytest.raises(BadInput, match=r"results\.jsonl is being written by process")
    with sole_writer(tmp_path / "results.jsonl"), busy:
        run_study(CONFIG, 600.0, tmp_path)
