"""The cost of taps and interventions: the same engine and text with and without them, interleaved.

Rates are for a prompt of 512 tokens; the last row is generation after 16 tokens. The competitor is zeropoint
itself without taps, so a ratio of 1 means no cost.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from report import add_report_options, make_row, print_report

import zeropoint
from zeropoint.engine.contract import LogitLens, Tap

READ, WRITE = 512, 48


def tapped_reads(model: zeropoint.Model) -> dict[str, Callable[[list[int]], object]]:
    """Ways to read a prompt with taps or interventions, by name."""
    last = model.blueprint.n_layers - 1
    layers = list(range(last + 1))
    steer = steering(model)
    weights = f"blocks.{last // 2}.attention.weights"
    return {
        "stream, all layers": lambda ids: model.trace(ids, ["blocks.*.after_ffn"]),
        "attention, 1 head": lambda ids: model.trace(ids, [Tap(weights, [0])]),
        "attention, 1 layer": lambda ids: model.trace(ids, [weights]),
        "steering vector": lambda ids: model.trace(ids, interventions=[steer]),
        "lens, 1 layer, top 5": lambda ids: model.trace(ids, lens=LogitLens([last // 2], 5)),
        "lens, all, top 5": lambda ids: model.trace(ids, lens=LogitLens(layers, 5)),
    }


def steering(model: zeropoint.Model) -> zeropoint.AddVector:
    """A vector too small to change the output, added at every token."""
    middle = model.blueprint.n_layers // 2
    return zeropoint.AddVector(f"blocks.{middle}.after_ffn", np.full(model.blueprint.d_model, 1e-6))


def generate(model: zeropoint.Model, ids: list[int], interventions: list[zeropoint.AddVector]) -> float:
    """Tokens per second of generation."""
    stream = model.generate(ids, interventions=interventions, temperature=0.0, max_tokens=WRITE)
    stream.text()
    return stream.timings.predicted_n / stream.timings.predicted_ms * 1000


def timed(read: Callable[[list[int]], object], ids: list[int]) -> float:
    """Tokens per second of reading ids with `read`."""
    start = time.perf_counter()
    read(ids)
    return len(ids) / (time.perf_counter() - start)


def measure(model: zeropoint.Model, rounds: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Rates of every measurement with and without taps; the first round is not counted."""
    rng = np.random.default_rng(0)
    tapped: dict[str, list[float]] = {}
    plain: dict[str, list[float]] = {}

    def note(name: str, mine: float, without: float, round_: int) -> None:
        if round_ >= 0:
            tapped.setdefault(name, []).append(mine)
            plain.setdefault(name, []).append(without)

    for round_ in range(-1, rounds):
        ids = rng.integers(100, 20000, READ).tolist()
        for name, look in tapped_reads(model).items():
            without = timed(model.trace, ids)
            note(name, timed(look, ids), without, round_)
        note("score with top 5", timed(partial(model.score, top=5), ids), timed(model.score, ids), round_)
        without = generate(model, ids[:16], [])
        note("answer, steered", generate(model, ids[:16], [steering(model)]), without, round_)
    return tapped, plain


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    add_report_options(parser)
    args = parser.parse_args()
    with zeropoint.load(args.model, threads=args.threads, context=1024) as model:
        tapped, plain = measure(model, args.rounds)
        rows = [make_row(name, tapped[name], plain[name], "tok/s") for name in tapped]
        machine = {"isa": model.engine.isa, "threads": args.threads}
    versions = {"zeropoint": zeropoint.__version__}
    print_report("looking_inside", machine, versions, args.rounds, rows, args)


if __name__ == "__main__":
    main()
