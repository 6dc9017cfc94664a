"""A study: measure speed, plan a grid, train it, fit the law, say what the next size will reach, and look.

Every run is trained by the one loop to the end of its own schedule, because a loss halfway down a longer
schedule is higher than that of a run that was meant to end there (Hoffmann et al., 2022, appendix B). Runs
differ in their first weights and in the batches they see, so that their scatter is a run's scatter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import ALL, Batches, Rows
from zeropoint.engine.machine import machine
from zeropoint.errors import MachineError
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.device import select_device
from zeropoint.train.config.io import config_toml
from zeropoint.train.loop.gradients import NotFinite
from zeropoint.train.loop.loop import evaluate_loss, train
from zeropoint.train.run.build_model import blueprint_of, build_model
from zeropoint.train.run.prepare import Prepared, prepare
from zeropoint.train.run.run import select_dtype
from zeropoint.train.scaling.grid import Cell, Grid, count_without_embeddings, model_sizes, plan_grid
from zeropoint.train.scaling.law import LawFit, fit_law
from zeropoint.train.scaling.results_log import FinishedRun, ResultsLog

__all__ = ["Prediction", "Study", "run_study"]

_LEAST_RUNS = 6  # that a law can be fitted to
_N_SIZES = 7  # the largest grid and the size after it
_WARM_STEPS, _TIMED_STEPS = 2, 8
_JUDGED_TOKENS = 65_536  # of the validation split, the same for every run
_SHARE = 0.9  # of the interval that is stated


@dataclass(frozen=True)
class Prediction:
    """What the law says of a cell before it is trained: loss, and the interval for one run, nats a token."""

    cell: Cell
    loss: float
    lower: float
    upper: float

    def holds(self, loss: float) -> bool:
        """Whether a measured loss is inside the interval."""
        return self.lower <= loss <= self.upper


@dataclass(frozen=True)
class Study:
    """runs: of the grid. prediction: made before `checked`, the run of the next size, was trained."""

    grid: Grid
    runs: tuple[FinishedRun, ...]
    fit: LawFit
    prediction: Prediction
    checked: FinishedRun
    machine: dict[str, Any]
    seconds: float


class _Later:
    """The same batches, begun elsewhere: a run of its own order."""

    def __init__(self, batches: Batches, first: int) -> None:
        self._batches, self._first = batches, first
        self.n_rows = batches.n_rows

    def batch(self, step: int, rows: Rows = ALL) -> Any:
        return self._batches.batch(self._first + step, rows)


class _Trainer:
    """Trains cells: the data, read once, and what they are computed in."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.prepared: Prepared = prepare(config)
        self.device = select_device(config.train.device)
        self.dtype = select_dtype(config, self.device)

    @property
    def n_tokens_a_step(self) -> int:
        return int(self.prepared.training.batch(0)[0].size)

    def blueprint(self, config: RunConfig) -> Blueprint:
        return blueprint_of(config.model, self.prepared.tokenizer.n_vocab)

    def loss(self, cell: Cell, number: int, on_step: Callable[[int], None] = lambda step: None) -> float:
        """Train and judge. number: tells its first weights and its batches from those of other runs."""
        config = cell.config(self.config)
        config = replace(config, train=replace(config.train, seed=config.train.seed + number))
        blueprint = self.blueprint(config)
        model = build_model(config, blueprint, self.device)
        train(
            model,
            _Later(self.prepared.training, number * 1_000_003),  # further apart than any run is long
            config.objective,
            config.optimizer.build(model),
            n_steps=cell.n_steps,
            schedule=config.schedule.for_run(cell.n_steps, blueprint.d_model),
            accumulation_steps=config.train.accumulation_steps,
            max_grad_norm=config.train.max_grad_norm or None,
            dtype=self.dtype,
            seed=config.train.seed,
            after_step=lambda done: on_step(done.step),
        )
        n_batches = -(-_JUDGED_TOKENS // self.n_tokens_a_step)
        return evaluate_loss(model, self.prepared.validation, config.objective, n_batches, self.dtype)

    def timed(self, cell: Cell) -> tuple[float, float]:
        """(seconds of a step, seconds of everything else in a run)."""
        marks = [time.monotonic()]
        self.loss(cell, 0, lambda step: marks.append(time.monotonic()))
        s_a_step = (marks[-1] - marks[_WARM_STEPS]) / (cell.n_steps - _WARM_STEPS)
        return s_a_step, time.monotonic() - marks[0] - s_a_step * cell.n_steps


def run_study(
    config: RunConfig, budget_s: float, folder: Path, tell: Callable[[str], None] = lambda text: None
) -> Study:
    """Do it all within a budget of seconds, or what is left of it after an interruption.

    folder: where ledger.jsonl is; one that is there is gone on with. tell: a line for each run.
    Raises BadInput for a budget that is too small and a ledger of another configuration; DiskError.
    """
    start = time.monotonic()
    ledger = ResultsLog(folder / "ledger.jsonl", f"# {budget_s:g} s\n{config_toml(config)}")
    trainer = _Trainer(config)
    if ledger.grid is None:
        grid = _planned(trainer, budget_s)
        ledger.begin(grid, _machine(trainer))
        tell(f"{len(grid.cells)} runs, then one of {grid.next.n_parameters:,} parameters")
    else:
        grid = ledger.grid
        trainer.dtype = getattr(torch, ledger.machine["precision"])
        tell(f"going on with {ledger.path}: {len(ledger.runs)} of {len(grid.cells) + 1} runs are there")
    end = start + budget_s - ledger.seconds
    runs = _trained(trainer, grid, ledger, end, tell)
    fitted = fit_law(*zip(*((r.cell.n_parameters, r.cell.n_tokens, r.loss) for r in runs), strict=True))
    cell = _affordable(grid, ledger, end - time.monotonic())
    prediction = Prediction(cell, *fitted.predict(cell.n_parameters, cell.n_tokens, _SHARE))
    tell(
        f"foreseen for {cell.n_parameters:,} parameters and {cell.n_tokens:,} tokens: {prediction.loss:.3f} "
        f"({prediction.lower:.3f} to {prediction.upper:.3f})"
    )
    checked = ledger.found(cell) or _run(trainer, cell, len(grid.cells), ledger, tell)
    return Study(grid, tuple(runs), fitted, prediction, checked, ledger.machine, ledger.seconds)


def _planned(trainer: _Trainer, budget_s: float) -> Grid:
    """The grid that fits, after measuring; what measuring takes is taken from the budget."""
    start = time.monotonic()
    models = [
        (model, count_without_embeddings(trainer.blueprint(replace(trainer.config, model=model))))
        for model in model_sizes(trainer.config.model, _N_SIZES)
    ]
    timed: dict[int, tuple[float, float]] = {}

    def s_a_step(i: int) -> float:
        if i not in timed:
            model, n_parameters = models[i]
            timed[i] = trainer.timed(Cell(model.d_model, model.n_heads, n_parameters, _TIMED_STEPS, 0))
        return timed[i][0]

    for i in range(4):  # the smallest grid, and the size after it
        s_a_step(i)
    overhead_s = sorted(other for _, other in timed.values())[1]  # the first run also pays for first calls
    left_s = budget_s - (time.monotonic() - start)
    return plan_grid(models, s_a_step, trainer.n_tokens_a_step, left_s, overhead_s)


def _trained(
    trainer: _Trainer, grid: Grid, ledger: ResultsLog, end: float, tell: Callable[[str], None]
) -> list[FinishedRun]:
    """Every cell's run, from the ledger or made now; where time is over, the longest are left out."""
    runs: list[FinishedRun] = []
    for i, cell in enumerate(grid.cells):
        found = ledger.found(cell)
        if found is None and time.monotonic() >= end and len(runs) > _LEAST_RUNS:
            tell(f"the budget is spent: {len(grid.cells) - i} runs of the grid are left out")
            break
        runs.append(found or _run(trainer, cell, i, ledger, tell))
    return runs


def _affordable(grid: Grid, ledger: ResultsLog, left_s: float) -> Cell:
    """The next size, with fewer tokens (half at least) where the machine became slower than measured."""
    done = next((run.cell for run in ledger.runs if run.cell.d_model == grid.next.d_model), None)
    if done is not None:
        return done
    expected_s = ledger.seconds * grid.next_share / (1 - grid.next_share)
    share = min(1.0, max(0.5, left_s / max(expected_s, 1e-9)))
    n_steps = round(grid.next.n_steps * share)
    n_tokens_a_step = grid.next.n_tokens // grid.next.n_steps
    return replace(grid.next, n_steps=n_steps, n_tokens=n_tokens_a_step * n_steps)


def _run(
    trainer: _Trainer, cell: Cell, number: int, ledger: ResultsLog, tell: Callable[[str], None]
) -> FinishedRun:
    """Train a cell and write it down. Raises MachineError where it diverged."""
    start = time.monotonic()
    try:
        loss = trainer.loss(cell, number)
    except NotFinite as error:
        raise MachineError(f"the run of {cell.n_parameters:,} parameters diverged at {error}") from None
    run = FinishedRun(cell, loss, time.monotonic() - start)
    ledger.add(run)
    tell(
        f"{len(ledger.runs)}: {cell.n_parameters:,} parameters, {cell.n_tokens:,} tokens: loss {loss:.3f}, "
        f"{run.seconds:.1f} s"
    )
    return run


def _machine(trainer: _Trainer) -> dict[str, Any]:
    return {
        "processor": machine()["cpu"],
        "device": trainer.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": str(trainer.dtype).removeprefix("torch."),
        "date": time.strftime("%Y-%m-%d"),
    }
