"""Which runs a time budget buys: sizes that grow by about two, token counts that double, and the next size.

Sizes are widths at the configuration's depth and width of a head. Parameters are those of the blocks and the
last norm; the table of tokens, that of positions and the head are left out, as in Kaplan et al., "Scaling
Laws for Neural Language Models", 2020, section 2.1: in models this small they are much and say little.
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

_WIDENING = 2**0.5  # of the width: twice the parameters
_DOUBLINGS = ((6, 5), (5, 5), (5, 4), (4, 4), (3, 4), (3, 3))  # sizes and token counts, the richest first
_GOOD_STEPS = 200  # of the shortest run, where a bigger grid is worth more than longer runs
_LEAST_STEPS = 40  # below, a run tells about its warm-up
_SPENT = 0.9  # of the budget is planned; a machine is never as even as its measure


@dataclass(frozen=True)
class Cell:
    """One run: its width, heads, parameters without embeddings, and how many steps and tokens."""

    d_model: int
    n_heads: int
    n_parameters: int
    n_steps: int
    n_tokens: int

    def config(self, config: RunConfig) -> RunConfig:
        """The configuration of this run; the depth, the optimizer and everything else stay."""
        model = replace(config.model, d_model=self.d_model, n_heads=self.n_heads, n_kv_heads=0, d_ff=0)
        return replace(config, model=model, train=replace(config.train, steps=self.n_steps))


@dataclass(frozen=True)
class Grid:
    """cells: what the law is fitted to, short runs first. next: the size and tokens it must foresee.

    next_share: of the seconds of all runs, what the next one is expected to take.
    """

    cells: tuple[Cell, ...]
    next: Cell
    next_share: float = 0.0


def count_without_embeddings(blueprint: Blueprint) -> int:
    """Weights of the blocks and the last norm."""
    outside = ("embedding.", "head.")
    return sum(math.prod(s) for name, s in parameters(blueprint).items() if not name.startswith(outside))


def model_sizes(model: ModelConfig, n: int) -> list[ModelConfig]:
    """The first n sizes: one head wide, then each about sqrt(2) times as wide, in whole heads.

    Raises BadInput where the configuration names a blueprint, which has one size.
    """
    if model.blueprint or model.d_model < 1 or model.n_heads < 1 or model.d_model % model.n_heads:
        raise BadInput(
            "scaling changes model.d_model and model.n_heads, so it needs both, the width a multiple of the "
            "heads, and no model.blueprint; `zeropoint scaling` alone takes the recipe `scaling`"
        )
    d_head, n_heads, found = model.d_model // model.n_heads, 1, []
    for _ in range(n):
        found.append(replace(model, d_model=n_heads * d_head, n_heads=n_heads, n_kv_heads=0, d_ff=0))
        n_heads = max(n_heads + 1, round(n_heads * _WIDENING))
    return found


def plan_grid(
    models: Sequence[tuple[ModelConfig, int]],
    s_a_step: Callable[[int], float],
    n_tokens_a_step: int,
    budget_s: float,
    overhead_s: float = 0.0,
) -> Grid:
    """The biggest grid whose shortest run is long enough, filling the budget with tokens.

    models: sizes with their parameters, growing, at least seven. s_a_step(i): measured for size i, and only
    asked for those that matter. overhead_s: of each run, beside its tokens. Raises BadInput for a budget that
    buys no grid at all.
    """
    n_sizes, n_counts = _DOUBLINGS[-1]
    steps = _shortest(n_sizes, n_counts, s_a_step, budget_s, overhead_s)
    if steps < _LEAST_STEPS:
        costs_s, runs_s = _cost(n_sizes, n_counts, s_a_step, overhead_s)
        minutes = math.ceil((costs_s * _LEAST_STEPS + runs_s) / _SPENT / 60)
        raise BadInput(
            f"{max(0, budget_s):.0f} s, what measuring left of the budget, are too few for a grid of 9 runs "
            f"of {_LEAST_STEPS} steps and more; give --time-budget {minutes + 1}m, or smaller sizes"
        )
    for more_sizes, more_counts in reversed(_DOUBLINGS[:-1]):
        more = _shortest(more_sizes, more_counts, s_a_step, budget_s, overhead_s)
        if more < _GOOD_STEPS:
            break
        n_sizes, n_counts, steps = more_sizes, more_counts, more
    cells = [
        _cell(*models[i], steps * 2**k, n_tokens_a_step) for k in range(n_counts) for i in range(n_sizes)
    ]
    last = _cell(*models[n_sizes], steps * 2**n_counts, n_tokens_a_step)
    costs_s, _ = _cost(n_sizes, n_counts, s_a_step, overhead_s)
    return Grid(tuple(cells), last, s_a_step(n_sizes) * 2**n_counts / costs_s)


def _shortest(
    n_sizes: int, n_counts: int, s_a_step: Callable[[int], float], budget_s: float, overhead_s: float
) -> int:
    """Steps of the shortest run in a grid of so many sizes and token counts, and the next size."""
    costs_s, runs_s = _cost(n_sizes, n_counts, s_a_step, overhead_s)
    return max(0, int((budget_s * _SPENT - runs_s) / costs_s))


def _cost(
    n_sizes: int, n_counts: int, s_a_step: Callable[[int], float], overhead_s: float
) -> tuple[float, float]:
    """(seconds for each step of the shortest run, seconds beside all steps), the next size included."""
    in_grid_s = sum(s_a_step(i) for i in range(n_sizes)) * (2**n_counts - 1)
    return in_grid_s + s_a_step(n_sizes) * 2**n_counts, overhead_s * (n_sizes * n_counts + 1)


def _cell(model: ModelConfig, n_parameters: int, n_steps: int, n_tokens_a_step: int) -> Cell:
    return Cell(model.d_model, model.n_heads, n_parameters, n_steps, n_steps * n_tokens_a_step)
