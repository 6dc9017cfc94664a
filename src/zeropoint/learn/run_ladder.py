"""Climb a ladder: build each rung, ask whether it sees the future, train it, and measure its loss."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from zeropoint.catalogue import datasets
from zeropoint.data.batches import RandomWindows
from zeropoint.errors import BadInput, choices
from zeropoint.learn.ladder import COSTS, Cost, Ladder, Reached, Rung, Stage
from zeropoint.train.callbacks.callbacks import Callback
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import read_config
from zeropoint.train.config.device import Device, device_of, name_of
from zeropoint.train.loop.gradients import near_zero
from zeropoint.train.loop.loop import evaluate_loss, train
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.run.causality import Leak, check_causal
from zeropoint.train.run.run import run

__all__ = ["chosen", "climb", "out_of_order", "shakespeare"]

_NEAR_ZERO = 1e-2  # share of a weight's largest gradient


def shakespeare() -> NDArray[np.int64]:
    """Tiny Shakespeare, one number a character in the order of code points: [1,115,394], 65 different."""
    (path,) = datasets.fetch("shakespeare").values()
    characters = np.array(list(path.read_text("utf-8")))
    return np.unique(characters, return_inverse=True)[1].astype(np.int64)


def chosen(ladder: Ladder, names: tuple[str, ...] = (), most: Cost = "seconds") -> list[Rung]:
    """The rungs of these names (all for none), each with the stages that take at most as long as `most`.

    A rung that is named keeps its first stage whatever it takes. Raises BadInput for a name there is not.
    """
    known = [rung.name for rung in ladder.rungs]
    for name in names:
        if name not in known:
            raise BadInput(choices(f"rung of the ladder {ladder.name}", name, known))
    found = []
    for rung in ladder.rungs:
        stages = tuple(s for s in rung.stages if COSTS.index(s.cost) <= COSTS.index(most))
        if rung.name in names:
            stages = stages or rung.stages[:1]
        if stages and (not names or rung.name in names):
            found.append(replace(rung, stages=stages))
    return found


def climb(
    ladder: Ladder,
    rungs: list[Rung],
    ids: NDArray[np.int64],
    seed: int,
    n_steps: int | None = None,
    *,
    folder: Path = Path("runs"),
    callbacks: Iterable[Callback] = (),
    device: Device | None = None,
) -> Iterator[Reached]:
    """Train each of the ladder's rungs in turn and tell what came of each stage.

    ids: the text. seed: of weights, windows and dropout; the same on the same machine gives the same losses.
    n_steps: stop there, which is then not judged, and leave out what is not trained. folder: where a rung
    that is a recipe has its run, which is gone on with if it is there; watchers: of that run.
    device: by default the processor, which small matrices take no longer on; for a recipe, its own.
    """
    place = device_of(device or "cpu")
    first, second = (int(share * len(ids)) for share in ladder.parts)
    for rung in rungs:
        if rung.untrained is not None:
            yield from _untrained(rung, rung.untrained) if n_steps is None else ()
            continue
        if rung.recipe and n_steps is None:
            yield _by_recipe(rung, seed, folder / rung.recipe, callbacks, device)
            continue
        with _threads(rung):
            split = _Split(ids[:first], ids[first:second], rung, seed, place)
            published = _Climber(rung, split, rung.build, seed, n_steps, rung.is_miswired)
            corrected = (
                None if rung.corrected is None else _Climber(rung, split, rung.corrected, seed, n_steps)
            )
            for stage in rung.stages:
                start = time.perf_counter()
                ours = published.reach(stage)
                other = None if corrected is None else corrected.reach(stage)
                yield Reached(
                    rung,
                    stage,
                    published.step,
                    ours,
                    other,
                    time.perf_counter() - start,
                    published.leak,
                    None if corrected is None else corrected.leak,
                    published.n_weights,
                    published.n_unheld,
                    published.dead,
                    name_of(place),
                )


def _untrained(rung: Rung, losses: Callable[[int], Mapping[str, float]]) -> Iterator[Reached]:
    """Losses of the rung's model as it begins, those of one number of batches together."""
    for n_batches, stages in itertools.groupby(rung.stages, lambda stage: stage.n_batches):
        start = time.perf_counter()
        found = losses(n_batches)
        seconds = time.perf_counter() - start
        for stage in stages:
            yield Reached(rung, stage, 0, found[stage.of], None, seconds / len(found))


def _by_recipe(
    rung: Rung, seed: int, folder: Path, callbacks: Iterable[Callback], device: Device | None
) -> Reached:
    """The best validation loss of a run with everything that a run has, to be left and gone on with."""
    (stage,) = rung.stages
    sets = [f"train.steps={stage.n_steps}", f"train.seed={seed}"]
    config = read_config(rung.recipe, sets if device is None else [*sets, f"train.device={device}"])
    result = run(config, folder, callbacks, resume=bool(checkpoint.checkpoints(folder)))
    loss = math.nan if result.best_loss is None else result.best_loss
    where = name_of(device_of(config.train.device))
    return Reached(rung, stage, result.step, loss, None, result.seconds, device=where)


def out_of_order(ladder: Ladder, reached: list[Reached]) -> list[tuple[str, str]]:
    """Pairs of neighbours, of those that were reached in full, whose second is not below its first."""
    losses = {r.rung.name: r.ours for r in reached if r.verdict != "not judged"}
    row = [name for name in ladder.ordered if name in losses]
    return [(a, b) for a, b in itertools.pairwise(row) if losses[b] >= losses[a]]


@dataclass(frozen=True)
class _Split:
    """The windows of a rung: to train on, and to validate on; and where."""

    trained: NDArray[np.int64]
    validated: NDArray[np.int64]
    rung: Rung
    seed: int
    device: torch.device

    def windows(self, ids: NDArray[np.int64], stream: int) -> RandomWindows:
        training = self.rung.training
        return RandomWindows(ids, training.n_ctx, training.n_rows, self.seed + stream)


class _Climber:
    """One model on its way through the stages of its rung."""

    def __init__(
        self,
        rung: Rung,
        split: _Split,
        build: Callable[[], nn.Module],
        seed: int,
        n_steps: int | None,
        is_miswired: bool = False,
    ) -> None:
        self.rung, self.seed, self.n_steps = rung, seed, n_steps
        self.gpus = [split.device] if split.device.type == "cuda" else []
        self.batches = split.windows(split.trained, 0)
        self.validation = split.windows(split.validated, 1)
        n_vocab = int(max(split.trained.max(), split.validated.max())) + 1
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.model = build().to(split.device)
            wired = build().to(split.device) if is_miswired else self.model
        self.optimizer = rung.training.optimizer(wired)
        self.leak: Leak | None = check_causal(self.model, n_vocab, rung.training.n_ctx, seed)
        held = {id(weight) for group in self.optimizer.param_groups for weight in group["params"]}
        self.n_weights = sum(w.numel() for w in self.model.parameters())
        self.n_unheld = sum(w.numel() for w in self.model.parameters() if id(w) not in held)
        self.step = 0
        self.dead: tuple[tuple[str, float], ...] = ()

    def reach(self, stage: Stage) -> float:
        """Train on to the stage's step, and give the validation loss there."""
        goal = stage.n_steps if self.n_steps is None else min(stage.n_steps, self.n_steps)

        def look(step: int, loss: float) -> None:
            if step == goal:
                self.dead = tuple(near_zero(self.model, _NEAR_ZERO).items())

        if goal > self.step:
            self.step = train(
                self.model,
                self.batches,
                NextToken(),
                self.optimizer,
                n_steps=goal,
                first_step=self.step,
                schedule=self.rung.training.schedule,
                seed=self.seed,
                before_update=look,
            )
        n_batches = stage.n_batches if self.n_steps is None else 1
        with torch.random.fork_rng(devices=self.gpus):  # one model drops weights of attention even now
            torch.manual_seed(self.seed)
            return evaluate_loss(self.model, self.validation, NextToken(), n_batches)


@contextmanager
def _threads(rung: Rung) -> Iterator[None]:
    """One thread for a rung whose matrices are too small to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if rung.training.is_wide else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
