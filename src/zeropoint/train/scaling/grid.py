"""Plan a scaling study: sizes that roughly double, token counts that double, and a larger size to predict.

Sizes vary the width, at the configuration's depth and head width. Parameters exclude the token embedding,
positions and the output head, as in Kaplan et al., "Scaling Laws for Neural Language Models", 2020, section
2.1: in models this small they are many and say little about the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput
from zeropoint.train.config.config import ModelConfig, RunConfig

__all__ = ["Cell", "Grid", "count_without_embeddings", "model_sizes", "plan_grid"]

_WIDTH_FACTOR = 2**0.5  # between sizes: twice the parameters
_GRIDS = ((6, 5), (5, 5), (5, 4), (4, 4), (3, 4), (3, 3))  # (sizes, token counts) of the grids, largest first
_GOOD_STEPS = 200  # steps of the shortest run from which a larger grid is worth more than longer runs
_MIN_STEPS = 40  # shorter runs measure the warm-up only
_PLANNED = 0.9  # fraction of the budget; the speed of a machine varies


@dataclass(frozen=True)
class Cell:
    """One run of the grid: width, heads, parameters without embeddings, steps and tokens."""

    d_model: int
    n_heads: int
    n_parameters: int
    n_steps: int
    n_tokens: int

    def config(self, config: RunConfig) -> RunConfig:
        """The study's configuration with this run's width, heads and steps."""
        model = replace(config.model, d_model=self.d_model, n_heads=self.n_heads, n_kv_heads=0, d_ff=0)
        return replace(config, model=model, train=replace(config.train, steps=self.n_steps))


@dataclass(frozen=True)
class Grid:
    """cells: the runs that the law is fitted to, short ones first. next: the larger run to predict.

    next_share: expected time of the larger run, as a fraction of the time of all runs.
    """

    cells: tuple[Cell, ...]
    next: Cell
    next_share: float = 0.0


def count_without_embeddings(blueprint: Blueprint) -> int:
    """Number of parameters in the blocks and the final norm."""
    outside = ("embedding.", "head.")
    return sum(math.prod(s) for name, s in parameters(blueprint).items() if not name.startswith(outside))


def model_sizes(model: ModelConfig, n: int) -> list[ModelConfig]:
    """The first n sizes: one head wide, then each about sqrt(2) times as wide, in whole heads.

    Raises BadInput for a configuration with a blueprint, which has one fixed size.
    """
    if model.blueprint or model.d_model < 1 or model.n_heads < 1 or model.d_model % model.n_heads:
        raise BadInput(
            "a scaling study varies model.d_model and model.n_heads, so set both (d_model a multiple of "
            "n_heads) and no model.blueprint; without options `zeropoint scaling` uses the recipe `scaling`"
        )
    d_head, n_heads, sizes = model.d_model // model.n_heads, 1, []
    for _ in range(n):
        sizes.append(replace(model, d_model=n_heads * d_head, n_heads=n_heads, n_kv_heads=0, d_ff=0))
        n_heads = max(n_heads + 1, round(n_heads * _WIDTH_FACTOR))
    return sizes


def plan_grid(
    models: Sequence[tuple[ModelConfig, int]],
    seconds_per_step: Callable[[int], float],
    n_tokens_per_step: int,
    budget_s: float,
    overhead_s: float = 0.0,
) -> Grid:
    """The largest grid whose shortest run is long enough, with as many tokens as fit the budget.

    models: (size, parameters), at least seven, growing. seconds_per_step(i): measured time of size i, called
    only for the sizes that matter. overhead_s: time of each run besides its steps. Raises BadInput for a
    budget that is too small for the smallest grid.
    """
    n_sizes, n_counts = _GRIDS[-1]
    steps = _shortest(n_sizes, n_counts, seconds_per_step, budget_s, overhead_s)
    if steps < _MIN_STEPS:
        costs_s, runs_s = _cost(n_sizes, n_counts, seconds_per_step, overhead_s)
        minutes = math.ceil((costs_s * _MIN_STEPS + runs_s) / _PLANNED / 60)
        raise BadInput(
            f"{max(0, budget_s):.0f} s remain after measuring, too few for a grid of 9 runs of at least "
            f"{_MIN_STEPS} steps; set --time-budget {minutes + 1}m, or smaller sizes"
        )
    for more_sizes, more_counts in reversed(_GRIDS[:-1]):
        more = _shortest(more_sizes, more_counts, seconds_per_step, budget_s, overhead_s)
        if more < _GOOD_STEPS:
            break
        n_sizes, n_counts, steps = more_sizes, more_counts, more
    cells = [
        _cell(*models[i], steps * 2**k, n_tokens_per_step) for k in range(n_counts) for i in range(n_sizes)
    ]
    last = _cell(*models[n_sizes], steps * 2**n_counts, n_tokens_per_step)
    costs_s, _ = _cost(n_sizes, n_counts, seconds_per_step, overhead_s)
    return Grid(tuple(cells), last, seconds_per_step(n_sizes) * 2**n_counts / costs_s)


def _shortest(
    n_sizes: int, n_counts: int, seconds_per_step: Callable[[int], float], budget_s: float, overhead_s: float
) -> int:
    """Steps of the shortest run, in a grid of this many sizes and token counts plus the larger run."""
    costs_s, runs_s = _cost(n_sizes, n_counts, seconds_per_step, overhead_s)
    return max(0, int((budget_s * _PLANNED - runs_s) / costs_s))


def _cost(
    n_sizes: int, n_counts: int, seconds_per_step: Callable[[int], float], overhead_s: float
) -> tuple[float, float]:
    """(seconds per step of the shortest run, seconds besides steps), for the grid and the larger run."""
    in_grid_s = sum(seconds_per_step(i) for i in range(n_sizes)) * (2**n_counts - 1)
    return in_grid_s + seconds_per_step(n_sizes) * 2**n_counts, overhead_s * (n_sizes * n_counts + 1)


def _cell(model: ModelConfig, n_parameters: int, n_steps: int, n_tokens_per_step: int) -> Cell:
    return Cell(model.d_model, model.n_heads, n_parameters, n_steps, n_steps * n_tokens_per_step)
