"""Run a scaling study: measure speed, plan a grid, train it, fit the law, predict a larger run, and check it.

Every run is trained to the end of its own schedule, because the loss halfway through a longer schedule is
higher than that of a run planned to end there (Hoffmann et al., 2022, appendix B). Runs differ in initial
weights and batches, so that their scatter is that of independent runs.
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
from zeropoint.files.disk_errors import as_disk_error
from zeropoint.files.locks import sole_writer
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

_MIN_RUNS = 6  # that a law can be fitted to
_N_SIZES = 7  # of the largest grid, plus the size to predict
_WARM_STEPS, _TIMED_STEPS = 2, 8
_EVAL_TOKENS = 65_536  # of the validation split, the same for every run
_CONFIDENCE = 0.9  # of the prediction interval


@dataclass(frozen=True)
class Prediction:
    """The loss that the law predicts for a cell, with the interval of one run, in nats per token."""

    cell: Cell
    loss: float
    lower: float
    upper: float

    def contains(self, loss: float) -> bool:
        """Whether a measured loss is in the interval."""
        return self.lower <= loss <= self.upper


@dataclass(frozen=True)
class Study:
    """runs: those of the grid. prediction: made before `checked`, the larger run, was trained."""

    grid: Grid
    runs: tuple[FinishedRun, ...]
    fit: LawFit
    prediction: Prediction
    checked: FinishedRun
    machine: dict[str, Any]
    seconds: float


class _Shifted:
    """The same batches, starting at another one, so that each run sees its own order."""

    def __init__(self, batches: Batches, first: int) -> None:
        self._batches, self._first = batches, first
        self.n_rows = batches.n_rows

    def batch(self, step: int, rows: Rows = ALL) -> Any:
        return self._batches.batch(self._first + step, rows)


class _Trainer:
    """Trains the runs of a study on data that is read once."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.prepared: Prepared = prepare(config)
        self.device = select_device(config.train.device)
        self.dtype = select_dtype(config, self.device)

    @property
    def n_tokens_per_step(self) -> int:
        return int(self.prepared.training.batch(0)[0].size)

    def blueprint(self, config: RunConfig) -> Blueprint:
        return blueprint_of(config.model, self.prepared.tokenizer.n_vocab)

    def loss(self, cell: Cell, number: int, on_step: Callable[[int], None] = lambda step: None) -> float:
        """Train a run and return its validation loss.

        Number: varies initial weights and batches between runs.
        """
        config = cell.config(self.config)
        config = replace(config, train=replace(config.train, seed=config.train.seed + number))
        blueprint = self.blueprint(config)
        model = build_model(config, blueprint, self.device)
        train(
            model,
            _Shifted(self.prepared.training, number * 1_000_003),  # more steps than any run has
            config.objective,
            config.optimizer.build(model),
            n_steps=cell.n_steps,
            schedule=config.schedule.for_run(cell.n_steps, blueprint.d_model),
            accumulation_steps=config.train.accumulation_steps,
            max_grad_norm=config.train.max_grad_norm or None,
            dtype=self.dtype,
            seed=config.train.seed,
            after_step=lambda result: on_step(result.step),
        )
        n_batches = -(-_EVAL_TOKENS // self.n_tokens_per_step)
        return evaluate_loss(model, self.prepared.validation, config.objective, n_batches, self.dtype)

    def measure(self, cell: Cell) -> tuple[float, float]:
        """(seconds per step, seconds of everything else in a run)."""
        marks = [time.monotonic()]
        self.loss(cell, 0, lambda step: marks.append(time.monotonic()))
        seconds_per_step = (marks[-1] - marks[_WARM_STEPS]) / (cell.n_steps - _WARM_STEPS)
        return seconds_per_step, time.monotonic() - marks[0] - seconds_per_step * cell.n_steps


def run_study(
    config: RunConfig, budget_s: float, folder: Path, notice: Callable[[str], None] = lambda text: None
) -> Study:
    """Run the study within a time budget, or resume an interrupted one.

    folder: holds results.jsonl; an existing one is resumed. notice: called with a line per run.
    Raises BadInput for a budget that is too small, a results file of another configuration or one that
    another process is writing; DiskError.
    """
    with as_disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder / "results.jsonl"):
        return _run(config, budget_s, folder, notice)


def _run(config: RunConfig, budget_s: float, folder: Path, notice: Callable[[str], None]) -> Study:
    start = time.monotonic()
    log = ResultsLog(folder / "results.jsonl", f"# {budget_s:g} s\n{config_toml(config)}")
    trainer = _Trainer(config)
    if log.grid is None:
        grid = _plan(trainer, budget_s)
        log.begin(grid, _machine_facts(trainer))
        notice(f"planned {len(grid.cells)} runs and a larger one of {grid.next.n_parameters:,} parameters")
    else:
        grid = log.grid
        trainer.dtype = getattr(torch, log.machine["precision"])
        notice(f"resuming {log.path}: {len(log.runs)} of {len(grid.cells) + 1} runs are done")
    end = start + budget_s - log.seconds
    runs = _train_grid(trainer, grid, log, end, notice)
    fitted = fit_law(*zip(*((r.cell.n_parameters, r.cell.n_tokens, r.loss) for r in runs), strict=True))
    cell = _affordable(grid, log, end - time.monotonic())
    prediction = Prediction(cell, *fitted.predict(cell.n_parameters, cell.n_tokens, _CONFIDENCE))
    notice(
        f"prediction for {cell.n_parameters:,} parameters and {cell.n_tokens:,} tokens: "
        f"{prediction.loss:.3f} ({prediction.lower:.3f} to {prediction.upper:.3f})"
    )
    checked = log.find(cell) or _train_cell(trainer, cell, len(grid.cells), log, notice)
    return Study(grid, tuple(runs), fitted, prediction, checked, log.machine, log.seconds)


def _plan(trainer: _Trainer, budget_s: float) -> Grid:
    """Measure speed and plan the grid; the measurements count against the budget."""
    start = time.monotonic()
    models = [
        (model, count_without_embeddings(trainer.blueprint(replace(trainer.config, model=model))))
        for model in model_sizes(trainer.config.model, _N_SIZES)
    ]
    measured: dict[int, tuple[float, float]] = {}

    def seconds_per_step(i: int) -> float:
        if i not in measured:
            model, n_parameters = models[i]
            measured[i] = trainer.measure(Cell(model.d_model, model.n_heads, n_parameters, _TIMED_STEPS, 0))
        return measured[i][0]

    for i in range(4):  # the smallest grid, and the size to predict
        seconds_per_step(i)
    # the second smallest: the first run includes one-time costs
    overhead_s = sorted(other for _, other in measured.values())[1]
    left_s = budget_s - (time.monotonic() - start)
    return plan_grid(models, seconds_per_step, trainer.n_tokens_per_step, left_s, overhead_s)


def _train_grid(
    trainer: _Trainer, grid: Grid, log: ResultsLog, end: float, notice: Callable[[str], None]
) -> list[FinishedRun]:
    """Train the runs of the grid that the log lacks; out of time, skip the longest."""
    runs: list[FinishedRun] = []
    for i, cell in enumerate(grid.cells):
        done = log.find(cell)
        if done is None and time.monotonic() >= end and len(runs) > _MIN_RUNS:
            notice(f"the time budget is spent; skipping {len(grid.cells) - i} runs of the grid")
            break
        runs.append(done or _train_cell(trainer, cell, i, log, notice))
    return runs


def _affordable(grid: Grid, log: ResultsLog, left_s: float) -> Cell:
    """The larger run, with down to half its tokens if the machine is slower than measured."""
    done = next((run.cell for run in log.runs if run.cell.d_model == grid.next.d_model), None)
    if done is not None:
        return done
    expected_s = log.seconds * grid.next_share / (1 - grid.next_share)
    share = min(1.0, max(0.5, left_s / max(expected_s, 1e-9)))
    n_steps = round(grid.next.n_steps * share)
    n_tokens_per_step = grid.next.n_tokens // grid.next.n_steps
    return replace(grid.next, n_steps=n_steps, n_tokens=n_tokens_per_step * n_steps)


def _train_cell(
    trainer: _Trainer, cell: Cell, number: int, log: ResultsLog, notice: Callable[[str], None]
) -> FinishedRun:
    """Train a run and log it. Raises MachineError if it diverges."""
    start = time.monotonic()
    try:
        loss = trainer.loss(cell, number)
    except NotFinite as error:
        raise MachineError(f"the run of {cell.n_parameters:,} parameters failed: {error}") from None
    run = FinishedRun(cell, loss, time.monotonic() - start)
    log.add(run)
    notice(
        f"{len(log.runs)}: {cell.n_parameters:,} parameters, {cell.n_tokens:,} tokens: loss {loss:.3f}, "
        f"{run.seconds:.1f} s"
    )
    return run


def _machine_facts(trainer: _Trainer) -> dict[str, Any]:
    return {
        "processor": machine()["cpu"],
        "device": trainer.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": str(trainer.dtype).removeprefix("torch."),
        "date": time.strftime("%Y-%m-%d"),
    }
