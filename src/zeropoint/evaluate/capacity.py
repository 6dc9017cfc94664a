"""What a load needs: how busy a machine is with it, how many answers run at once, and how many machines.

Three figures are measured on this machine, with prompts and answers of the load's own lengths: how fast it
reads prompts, how fast one answer is written, and how fast many are written together. The rest is arithmetic:
requests per second times the work of one request, and Little's law, L = lambda * W ("A proof for the queuing
formula", 1961), for the answers in progress.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import cache_bytes
from zeropoint.engine.contract import Engine, Request
from zeropoint.errors import BadInput
from zeropoint.sampling.params import SamplingParams

__all__ = ["Capacity", "Load", "capacity", "measure_figures"]

_TOGETHER = 16
_MAX_BUSY = 0.7  # of a machine: above that, requests that come at random wait for each other


@dataclass(frozen=True)
class Load:
    """requests_per_second: on average. prompt_tokens, answer_tokens: of each request."""

    requests_per_second: float
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Figures:
    """Tokens per second: reading prompts, writing one answer, writing `n_together` answers (all of them)."""

    prompt: float
    alone: float
    together: float
    n_together: int


@dataclass(frozen=True)
class Capacity:
    """busy: the share of this machine's time that the load takes; above 1 it is too much for it.

    answers_at_once: on average. cache_bytes: of these. seconds_alone: of one answer on an idle machine.
    machines: that the load needs at `_MAX_BUSY`; max_requests_per_second: of one machine at that.
    """

    load: Load
    figures: Figures
    busy: float
    answers_at_once: float
    cache_bytes: int
    seconds_alone: float
    machines: int
    max_requests_per_second: float

    def as_json(self) -> dict[str, Any]:
        """All figures by name."""
        return {
            "requests_per_second": self.load.requests_per_second,
            "prompt_tokens": self.load.prompt_tokens,
            "answer_tokens": self.load.answer_tokens,
            "prompt_tokens_per_second": self.figures.prompt,
            "answer_tokens_per_second_alone": self.figures.alone,
            "answer_tokens_per_second_together": self.figures.together,
            "answers_together": self.figures.n_together,
            "busy": self.busy,
            "answers_at_once": self.answers_at_once,
            "cache_bytes": self.cache_bytes,
            "seconds_per_answer_alone": self.seconds_alone,
            "machines": self.machines,
            "max_requests_per_second": self.max_requests_per_second,
        }


def measure_figures(engine: Engine, load: Load) -> Figures:
    """Measure one answer and then several together. Raises BadInput for a load beyond the context."""
    n_tokens = load.prompt_tokens + load.answer_tokens
    if n_tokens >= engine.n_ctx:
        raise BadInput(f"a request of the load has {n_tokens} tokens and the context holds {engine.n_ctx}")
    rng = np.random.default_rng(0)
    _run(engine, rng, load, 1, min(4, load.answer_tokens))  # warm up: page in the weights
    _, rest = _run(engine, rng, load, 1, load.answer_tokens)
    first_together, rest_together = _run(engine, rng, load, _TOGETHER, load.answer_tokens)
    n_rest = max(load.answer_tokens - 1, 1)
    return Figures(
        prompt=_TOGETHER * load.prompt_tokens / first_together,
        alone=n_rest / max(rest, 1e-9),
        together=_TOGETHER * n_rest / max(rest_together, 1e-9),
        n_together=_TOGETHER,
    )


def capacity(blueprint: Blueprint, load: Load, figures: Figures) -> Capacity:
    """What the load needs, from the figures."""
    prompt_seconds = load.prompt_tokens / figures.prompt
    shared_seconds = load.answer_tokens / figures.together
    busy = load.requests_per_second * (prompt_seconds + shared_seconds)
    alone = prompt_seconds + load.answer_tokens / figures.alone
    machines = max(1, math.ceil(busy / _MAX_BUSY))
    # On a machine that is busy to this share, an answer takes that much longer than on an idle one.
    at_once = load.requests_per_second / machines * alone / (1 - min(busy / machines, 0.95))
    n_positions = load.prompt_tokens + load.answer_tokens
    return Capacity(
        load=load,
        figures=figures,
        busy=busy,
        answers_at_once=at_once,
        cache_bytes=math.ceil(at_once) * cache_bytes(blueprint, n_positions),
        seconds_alone=alone,
        machines=machines,
        max_requests_per_second=_MAX_BUSY / (prompt_seconds + shared_seconds),
    )


def _run(
    engine: Engine, rng: np.random.Generator, load: Load, n_requests: int, n_tokens: int
) -> tuple[float, float]:
    """Seconds until all requests have their first token, and from then to the end of the last."""
    params = SamplingParams.of(max_tokens=n_tokens, temperature=0)
    for _ in range(n_requests):
        engine.submit(Request(rng.integers(0, engine.n_vocab, load.prompt_tokens).tolist(), params))
    start, begun, n_running, first = time.perf_counter(), set[int](), n_requests, 0.0
    while n_running:
        for event in engine.step():
            if event.token is not None:
                begun.add(event.request)
            n_running -= event.finish is not None
        if len(begun) == n_requests and not first:
            first = time.perf_counter() - start
    return first, time.perf_counter() - start - first
