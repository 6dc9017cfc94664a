"""Train the rungs of a ladder and compare each loss with the published one.

Every model is first tested for causality: a model that sees future tokens reaches a loss it should not.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zeropoint.catalogue import datasets
from zeropoint.data.batches import RandomWindows
from zeropoint.errors import BadInput, choices
from zeropoint.learn.ladders.ladder import COSTS, Cost, Ladder, Rung, Stage, StageResult
from zeropoint.train.callbacks.callbacks import Callback
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.device import Device, device_name, select_device
from zeropoint.train.config.io import read_config
from zeropoint.train.loop.gradients import near_zero_fractions
from zeropoint.train.loop.loop import evaluate_loss, train
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.run.causality import CausalityViolation, check_causality
from zeropoint.train.run.run import run

__all__ = ["load_text", "out_of_order", "run_ladder", "select_rungs"]

Progress = Callable[[str, int, int, float], None]

_NEAR_ZERO = 1e-2  # relative to the parameter's largest gradient


def load_text(name: str) -> NDArray[np.int64]:
    """A data set of one file as character ids in code point order [n]; tiny Shakespeare has 65 values."""
    (path,) = datasets.fetch(name).values()
    characters = np.array(list(path.read_text("utf-8")))
    return np.unique(characters, return_inverse=True)[1].astype(np.int64)


def select_rungs(ladder: Ladder, names: tuple[str, ...] = (), max_cost: Cost = "seconds") -> list[Rung]:
    """The named rungs (all without names), each with the stages that cost at most max_cost.

    A named rung always keeps its first stage, whatever that costs. Raises BadInput for an unknown name.
    """
    known = [rung.name for rung in ladder.rungs]
    for name in names:
        if name not in known:
            raise BadInput(choices(f"rung of the ladder {ladder.name}", name, known))
    selected = []
    for rung in ladder.rungs:
        stages = tuple(s for s in rung.stages if COSTS.index(s.cost) <= COSTS.index(max_cost))
        if rung.name in names:
            stages = stages or rung.stages[:1]
        if stages and (not names or rung.name in names):
            selected.append(replace(rung, stages=stages))
    return selected


def run_ladder(
    ladder: Ladder,
    rungs: list[Rung],
    ids: NDArray[np.int64],
    seed: int,
    n_steps: int | None = None,
    *,
    folder: Path = Path("runs"),
    callbacks: Iterable[Callback] = (),
    device: Device | None = None,
    progress: Progress = lambda what, step, n_steps, loss: None,
) -> Iterator[StageResult]:
    """Train these rungs of the ladder in turn and yield a result at every stage.

    ids: the text as token ids [n]. seed: of weights, windows and dropout; it reproduces the losses on the
    same machine. n_steps: stop each rung there, skip rungs that are not trained, and judge nothing. folder:
    where a rung with a recipe stores its run, which is resumed if it exists; callbacks: of that run. device:
    by default the CPU, which is as fast as a GPU for small matrices; a recipe has its own default.
    progress(what, step, n_steps, loss): called after every step of the other rungs.
    """
    torch_device = select_device(device or "cpu")
    train_end, validation_end = (int(share * len(ids)) for share in ladder.splits)
    for rung in rungs:
        if rung.untrained_losses is not None:
            yield from _untrained(rung, rung.untrained_losses) if n_steps is None else ()
            continue
        if rung.recipe and n_steps is None:
            yield _run_recipe(rung, seed, folder / rung.recipe, callbacks, device)
            continue
        with _threads(rung):
            split = _Split(ids[:train_end], ids[train_end:validation_end], rung, seed, torch_device)
            make = partial(_RungTrainer, rung, split, seed=seed, n_steps=n_steps)
            published = make(rung.build, rung.name, progress, has_stale_optimizer=rung.has_stale_optimizer)
            corrected = rung.corrected and make(rung.corrected, f"{rung.name}, corrected", progress)
            for stage in rung.stages:
                start = time.perf_counter()
                ours = published.train_to(stage)
                corrected_loss = None if corrected is None else corrected.train_to(stage)
                yield StageResult(
                    rung,
                    stage,
                    published.step,
                    ours,
                    corrected_loss,
                    time.perf_counter() - start,
                    published.leak,
                    None if corrected is None else corrected.leak,
                    published.n_weights,
                    published.n_not_optimized,
                    published.near_zero_gradients,
                    device_name(torch_device),
                )


def out_of_order(ladder: Ladder, results: list[StageResult]) -> list[tuple[str, str]]:
    """Pairs of consecutive completed rungs whose loss does not decrease although it should."""
    losses = {r.rung.name: r.ours for r in results if r.verdict != "not judged"}
    completed = [name for name in ladder.decreasing if name in losses]
    return [(a, b) for a, b in itertools.pairwise(completed) if losses[b] >= losses[a]]


def _untrained(rung: Rung, losses_of: Callable[[int], Mapping[str, float]]) -> Iterator[StageResult]:
    """Losses of the freshly initialized model. Stages that average the same batches share one computation."""
    for n_batches, stages in itertools.groupby(rung.stages, lambda stage: stage.n_batches):
        start = time.perf_counter()
        losses = losses_of(n_batches)
        seconds = time.perf_counter() - start
        for stage in stages:
            yield StageResult(rung, stage, 0, losses[stage.split], None, seconds / len(losses))


def _run_recipe(
    rung: Rung, seed: int, folder: Path, callbacks: Iterable[Callback], device: Device | None
) -> StageResult:
    """The best validation loss of a complete training run, which can be interrupted and resumed."""
    (stage,) = rung.stages
    overrides = [f"train.steps={stage.n_steps}", f"train.seed={seed}"]
    config = read_config(rung.recipe, overrides if device is None else [*overrides, f"train.device={device}"])
    result = run(config, folder, callbacks, resume=bool(checkpoint.list_checkpoints(folder)))
    loss = math.nan if result.best_loss is None else result.best_loss
    name = device_name(select_device(config.train.device))
    return StageResult(rung, stage, result.step, loss, None, result.seconds, device=name)


@dataclass(frozen=True)
class _Split:
    """The training and validation ids of a rung, and the device to train on."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    rung: Rung
    seed: int
    device: torch.device

    def windows(self, ids: NDArray[np.int64], stream: int) -> RandomWindows:
        setup = self.rung.training
        return RandomWindows(ids, setup.n_ctx, setup.batch_size, self.seed + stream)


class _RungTrainer:
    """Trains one model of a rung from stage to stage."""

    def __init__(
        self,
        rung: Rung,
        split: _Split,
        build: Callable[[], nn.Module],
        name: str,
        progress: Progress,
        seed: int,
        n_steps: int | None,
        has_stale_optimizer: bool = False,
    ) -> None:
        self.rung, self.seed, self.n_steps = rung, seed, n_steps
        self.name, self.progress = name, progress
        self.gpus = [split.device] if split.device.type == "cuda" else []
        self.batches = split.windows(split.train, 0)
        self.validation = split.windows(split.validation, 1)
        n_vocab = int(max(split.train.max(), split.validation.max())) + 1
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.model = build().to(split.device)
            optimized = build().to(split.device) if has_stale_optimizer else self.model
        self.optimizer = rung.training.optimizer(optimized)
        self.leak: CausalityViolation | None = check_causality(self.model, n_vocab, rung.training.n_ctx, seed)
        in_optimizer = {id(weight) for group in self.optimizer.param_groups for weight in group["params"]}
        self.n_weights = sum(w.numel() for w in self.model.parameters())
        self.n_not_optimized = sum(w.numel() for w in self.model.parameters() if id(w) not in in_optimizer)
        self.step = 0
        self.near_zero_gradients: tuple[tuple[str, float], ...] = ()

    def train_to(self, stage: Stage) -> float:
        """Continue training up to the stage's step and return the validation loss."""
        last_step = stage.n_steps if self.n_steps is None else min(stage.n_steps, self.n_steps)

        def record_gradients(step: int, loss: float) -> None:
            if step == last_step:
                self.near_zero_gradients = tuple(near_zero_fractions(self.model, _NEAR_ZERO).items())

        if last_step > self.step:
            self.step = train(
                self.model,
                self.batches,
                NextToken(),
                self.optimizer,
                n_steps=last_step,
                first_step=self.step,
                schedule=self.rung.training.schedule,
                seed=self.seed,
                before_update=record_gradients,
                after_step=lambda result: self.progress(self.name, result.step, last_step, result.loss),
            )
        n_batches = stage.n_batches if self.n_steps is None else 1
        with torch.random.fork_rng(
            devices=self.gpus
        ):  # one model keeps dropping attention weights in eval mode
            torch.manual_seed(self.seed)
            return evaluate_loss(self.model, self.validation, NextToken(), n_batches)


@contextmanager
def _threads(rung: Rung) -> Iterator[None]:
    """Use one thread for a rung whose matrices are too small to split."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if rung.training.uses_all_threads else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
