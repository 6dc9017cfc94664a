"""Prefill and decode speed of an engine, and the limit that memory bandwidth sets.

`prefill128` is the rate of processing a 128-token prompt, `decode512` the rate of generating tokens after a
512-token context. Each figure is the median of several runs with different prompts, so that prefix caching
does not help.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import cache_bytes
from zeropoint.engine.contract import Engine, Request
from zeropoint.planning.roofline import ceiling_tok_s
from zeropoint.sampling.params import SamplingParams

__all__ = [
    "DECODE_AT",
    "DECODE_TOKENS",
    "PREFILL_OF",
    "DecodeSpeed",
    "Rates",
    "Speed",
    "measure_rates",
    "measure_speed",
]

PREFILL_OF = (128, 512)  # prompt lengths, in tokens
DECODE_AT = (16, 512)  # context lengths at which decoding starts
DECODE_TOKENS = 48


@dataclass(frozen=True)
class DecodeSpeed:
    """Decode speed at one context length, and the ceiling set by memory bandwidth."""

    tok_s: float
    ceiling_tok_s: float

    @property
    def share(self) -> float:
        """The fraction of the ceiling that the engine reaches."""
        return self.tok_s / self.ceiling_tok_s


@dataclass(frozen=True)
class Speed:
    """prefill: prompt length -> tokens/s. decode: context length -> speed.

    first_token_ms: time to the first token after a 16-token prompt. peak_bytes: peak resident memory.
    bandwidth_bytes_s: the better of two measurements, taken last so that its buffer does not count in
    peak_bytes.
    """

    prefill: dict[int, float]
    decode: dict[int, DecodeSpeed]
    first_token_ms: float
    peak_bytes: int
    bandwidth_bytes_s: float
    n_runs: int

    def as_json(self) -> dict[str, Any]:
        """All figures, as `zeropoint bench --json` prints them; lengths in tokens are keys."""
        return {
            "prefill_tokens_per_second": {str(n): rate for n, rate in self.prefill.items()},
            "decode_tokens_per_second": {str(n): decode.tok_s for n, decode in self.decode.items()},
            "decode_share_of_ceiling": {str(n): decode.share for n, decode in self.decode.items()},
            "first_token_ms": self.first_token_ms,
            "peak_memory_bytes": self.peak_bytes,
            "memory_bandwidth_bytes_per_second": self.bandwidth_bytes_s,
            "runs": self.n_runs,
        }


@dataclass(frozen=True)
class Rates:
    """Medians: prefill tokens/s by prompt length; decode tokens/s and first_token_ms by context length."""

    prefill: dict[int, float]
    decode: dict[int, float]
    first_token_ms: dict[int, float]


def measure_rates(
    engine: Engine,
    n_runs: int,
    prefill_of: Sequence[int] = PREFILL_OF,
    decode_at: Sequence[int] = DECODE_AT,
    on_run: Callable[[int, int], None] | None = None,
) -> Rates:
    """Measure one sequence at a time. Lengths that exceed the engine's context are skipped."""
    rng = np.random.default_rng(0)
    prefills = [n for n in prefill_of if n < engine.n_ctx]
    decodes = [n for n in decode_at if n + DECODE_TOKENS < engine.n_ctx]
    seconds: dict[tuple[str, int], list[float]] = {}
    _run(engine, rng, min(64, engine.n_ctx - 8), 4)  # warm up: page in the weights
    total = n_runs * (len(prefills) + len(decodes))
    for run in range(n_runs):
        for n in prefills:
            first, _ = _run(engine, rng, n, 1)
            seconds.setdefault(("prefill", n), []).append(first)
        for n in decodes:
            first, rest = _run(engine, rng, n, DECODE_TOKENS + 1)
            seconds.setdefault(("first", n), []).append(first)
            seconds.setdefault(("decode", n), []).append(rest / DECODE_TOKENS)
        if on_run is not None:
            on_run((run + 1) * total // n_runs, total)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    return Rates(
        prefill={n: n / median["prefill", n] for n in prefills},
        decode={n: 1 / median["decode", n] for n in decodes},
        first_token_ms={n: 1000 * median["first", n] for n in decodes},
    )


def measure_speed(
    engine: Engine,
    blueprint: Blueprint,
    read_bytes: int,
    bandwidth: Callable[[], float],
    n_runs: int = 5,
    on_run: Callable[[int, int], None] | None = None,
    *,
    prefill_of: Sequence[int] = PREFILL_OF,
    decode_at: Sequence[int] = DECODE_AT,
) -> Speed:
    """Measure one sequence at a time.

    read_bytes: weight bytes read per token. bandwidth: measures memory bandwidth in bytes/s. on_run(done,
    total) reports progress. Lengths that exceed the engine's context are skipped.
    """
    rates = measure_rates(engine, n_runs, prefill_of, decode_at, on_run)
    peak_bytes = peak_memory_bytes()
    bandwidth_bytes_s = max(bandwidth(), bandwidth())

    def decode_at_context(n: int) -> DecodeSpeed:
        read = read_bytes + cache_bytes(blueprint, n + DECODE_TOKENS // 2)
        return DecodeSpeed(rates.decode[n], ceiling_tok_s(bandwidth_bytes_s, read))

    return Speed(
        prefill=rates.prefill,
        decode={n: decode_at_context(n) for n in rates.decode},
        first_token_ms=rates.first_token_ms.get(min(rates.decode, default=0), 0.0),
        peak_bytes=peak_bytes,
        bandwidth_bytes_s=bandwidth_bytes_s,
        n_runs=n_runs,
    )


def peak_memory_bytes() -> int:
    """Peak resident memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _run(engine: Engine, rng: np.random.Generator, n_prompt: int, max_tokens: int) -> tuple[float, float]:
    """Seconds to the first token, and from the first to the last."""
    prompt = rng.integers(0, engine.n_vocab, n_prompt).tolist()
    params = SamplingParams.of(temperature=0.0, max_tokens=max_tokens)
    start = time.perf_counter()
    request = engine.submit(Request(prompt, params))
    first = 0.0
    while True:
        for event in engine.step():
            if event.request != request:
                continue
            if event.token is not None and not first:
                first = time.perf_counter() - start
            if event.finish is not None:
                return first, time.perf_counter() - start - first
