"""A budget becomes a grid, a grid becomes runs in a ledger, and an interrupted study goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from zeropoint.errors import BadInput
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


def test_sizes_grow_by_about_two_in_whole_heads() -> None:
    found = [(m.n_heads, m.d_model) for m in model_sizes(MODEL, 7)]
    assert found == [(1, 8), (2, 16), (3, 24), (4, 32), (6, 48), (8, 64), (11, 88)]
    with pytest.raises(BadInput, match=r"no model\.blueprint"):
        model_sizes(ModelConfig(blueprint="gpt2"), 3)


def test_embeddings_positions_and_head_do_not_count() -> None:
    blueprint = blueprint_of(replace(MODEL, d_model=16), n_vocab=1000)
    gains = 3 * 16
    assert count_without_embeddings(blueprint) == 12 * 16 * 16 + gains
    assert count_without_embeddings(replace(blueprint, n_vocab=9)) == 12 * 16 * 16 + gains


def models() -> list[tuple[ModelConfig, int]]:
    return [(m, m.d_model**2 * 12) for m in model_sizes(MODEL, 7)]


@pytest.mark.parametrize("budget_s", [20.0, 300.0, 5000.0])
def test_a_grid_takes_nine_tenths_of_its_budget_and_more_buys_more_runs(budget_s: float) -> None:
    def s_a_step(i: int) -> float:
        return 0.001 * 2**i

    grid = plan_grid(models(), s_a_step, 32, budget_s)
    index = {m.d_model: i for i, (m, _) in enumerate(models())}
    spent = sum(s_a_step(index[c.d_model]) * c.n_steps for c in (*grid.cells, grid.next))
    assert 0.8 * budget_s < spent <= 0.9 * budget_s
    next_s = s_a_step(index[grid.next.d_model]) * grid.next.n_steps
    assert grid.next_share == pytest.approx(next_s / spent)
    assert len(grid.cells) >= (9 if budget_s < 100 else 16)
    assert grid.next.n_parameters > max(c.n_parameters for c in grid.cells)
    assert grid.next.n_tokens == 2 * max(c.n_tokens for c in grid.cells)
    assert [c.n_steps for c in grid.cells] == sorted(c.n_steps for c in grid.cells)


def test_a_budget_that_buys_nothing_says_what_would() -> None:
    with pytest.raises(BadInput, match="give --time-budget 4m"):
        plan_grid(models(), lambda i: 0.1, 32, 60.0)
    with pytest.raises(BadInput, match=r"^0 s, what measuring left of the budget, are too few"):
        plan_grid(models(), lambda i: 0.1, 32, -2.0)


def test_a_study_foresees_and_checks_and_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = tuple(
        Cell(8 * h, h, 12 * (8 * h) ** 2 + 24 * h, steps, steps * 32)
        for steps in (4, 8, 16)
        for h in (1, 2, 3)
    )
    grid = study_module.Grid(cells, Cell(32, 4, 12 * 32**2 + 96, 32, 1024))
    monkeypatch.setattr(study_module, "_planned", lambda trainer, budget_s: grid)
    monkeypatch.setattr(study_module, "_JUDGED_TOKENS", 64)
    told: list[str] = []

    def interrupted(text: str) -> None:
        told.append(text)
        if len(told) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(CONFIG, 600.0, tmp_path, interrupted)
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write('{"cell": {"d_mo')  # power went
    before = (tmp_path / "ledger.jsonl").read_text().splitlines()[:-1]

    told.clear()
    found = run_study(CONFIG, 600.0, tmp_path, told.append)
    after = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    assert "5 of 10 runs are there" in told[0]
    assert [Cell(**json.loads(line)["cell"]) for line in after[1:]] == [*cells, found.checked.cell]
    assert found.prediction.lower < found.prediction.loss < found.prediction.upper
    assert found.prediction.holds(found.checked.loss) == (
        found.prediction.lower <= found.checked.loss <= found.prediction.upper
    )
    trainer = study_module._Trainer(CONFIG)
    assert trainer.loss(cells[7], 7) == found.runs[7].loss  # an interruption changes nothing

    draw_law(found, tmp_path / "law.png")
    assert (tmp_path / "law.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BadInput, match="another configuration"):
        run_study(CONFIG, 601.0, tmp_path)


def test_the_next_size_gets_fewer_tokens_on_a_machine_that_became_slow(tmp_path: Path) -> None:
    cell, last = Cell(8, 1, 792, 4, 128), Cell(16, 2, 3120, 100, 3200)
    ledger = ResultsLog(tmp_path / "ledger.jsonl", "x")
    ledger.add(FinishedRun(cell, 3.5, 60.0))
    grid = study_module.Grid((cell,), last, next_share=0.25)  # so that 20 s are expected for it
    assert study_module._affordable(grid, ledger, 30.0) == last
    assert study_module._affordable(grid, ledger, 15.0) == replace(last, n_steps=75, n_tokens=2400)
    assert study_module._affordable(grid, ledger, 1.0) == replace(last, n_steps=50, n_tokens=1600)


def test_a_ledger_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"config": "x"}\n')
    with pytest.raises(BadInput, match="is not a ledger"):
        ResultsLog(path, "x")
    path.write_text("broken\n")
    with pytest.raises(BadInput, match="line 1"):
        ResultsLog(path, "x")


def test_runs_are_found_by_their_cell(tmp_path: Path) -> None:
    cell = Cell(8, 1, 792, 4, 128)
    ledger = ResultsLog(tmp_path / "ledger.jsonl", "x")
    ledger.begin(study_module.Grid((cell,), cell), {})
    ledger.add(FinishedRun(cell, 3.5, 0.25))
    again = ResultsLog(tmp_path / "ledger.jsonl", "x")
    assert again.found(cell) == FinishedRun(cell, 3.5, 0.25)
    assert again.found(replace(cell, n_steps=5)) is None
    assert again.seconds == 0.25
