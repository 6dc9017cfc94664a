"""zeropoint's training against nanoGPT's model and loop, interleaved on the same threads.

    python benches/train_speed.py speed                   # tokens/s, the same model and batch
    python benches/train_speed.py loss --ours 1.88        # seconds to a validation loss, our best recipe
    python benches/train_speed.py loss --ours 1.55 --peer 1.70 --our-steps 4000 --peer-steps 5000

The text is tiny Shakespeare, from the catalogue or --text. The baseline is `sides/nano_gpt.py`. The
validation loss covers the complete last tenth of the text, in consecutive windows of each side's own
context. Validation is not timed; compilation is. The baseline runs eager or compiled, whichever is faster
for its number of steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from report import add_report_options, make_row, print_report
from training import TrainOptions
from worker import Worker

OURS, PEER = "zeropoint_training", "nano_gpt"
SAME = "shakespeare-char"  # the recipe of the baseline's own model, batch and optimizer
BEST = "shakespeare-char-fast"
PEER_KINDS = ("eager", "compiled")


@dataclass
class Race:
    """One side's progress towards a loss. seconds: time of its steps until the target or the last step."""

    name: str
    target: float
    n_steps: int
    every: int
    about: dict[str, Any]
    seconds: float = 0.0
    step: int = 0
    losses: list[tuple[int, float, float]] = field(default_factory=list)  # step, seconds, validation loss

    @property
    def has_arrived(self) -> bool:
        return bool(self.losses) and self.losses[-1][2] <= self.target

    @property
    def is_over(self) -> bool:
        return self.has_arrived or self.step >= self.n_steps

    def turn(self, worker: Worker) -> None:
        """Take some steps, then validate."""
        n = min(self.every, self.n_steps - self.step)
        self.seconds += worker.call("advance", n)
        self.step += n
        self.losses.append((self.step, round(self.seconds, 2), round(worker.call("validate"), 4)))
        step, seconds, loss = self.losses[-1]
        print(f"{self.name}: step {step}, {seconds} s, loss {loss}", file=sys.stderr, flush=True)


def main() -> None:
    """Run the benchmark."""
    options = _parse()
    # Compile from scratch every time, as in a first training run.
    os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    if options.clock == "processor":
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in the process that is timed
    text = options.text or _tiny_shakespeare()
    if options.measure == "speed":
        _speed(options, text)
    else:
        _loss(options, text)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("measure", choices=("speed", "loss"))
    parser.add_argument("--text", default="", help="a text file instead of tiny Shakespeare")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="override a key of our recipe")
    parser.add_argument(
        "--clock", choices=("wall", "processor"), default="wall", help="processor: see training.py"
    )
    add_report_options(parser)
    parser.add_argument("--rounds", type=int, default=12, help="speed: rounds")
    parser.add_argument("--steps", type=int, default=40, help="speed: steps per round")
    parser.add_argument("--ours", type=float, default=1.88, help="loss: our target")
    parser.add_argument(
        "--peer", type=float, default=None, help="loss: the baseline's target, by default ours"
    )
    parser.add_argument("--our-steps", type=int, default=500, help="loss: steps of our schedule")
    parser.add_argument("--peer-steps", type=int, default=2000, help="loss: steps of the baseline's schedule")
    parser.add_argument("--validations", type=int, default=40, help="loss: number of validations")
    parser.add_argument("--peer-kind", choices=PEER_KINDS, help="loss: force this variant of the baseline")
    return parser.parse_args()


def _tiny_shakespeare() -> str:
    from zeropoint.catalogue import datasets
    from zeropoint.settings import Settings

    (path,) = datasets.fetch("shakespeare", settings=Settings.read()).values()
    return str(path)


def _speed(options: argparse.Namespace, text: str) -> None:
    """Both variants of the baseline and our compiled training, interleaved."""
    far = 1_000_000  # schedule length; no round gets there
    workers = {
        kind: Worker(PEER, TrainOptions(text, options.threads, far, kind == "compiled", options.clock))
        for kind in PEER_KINDS
    }
    sets = ("train.precision=auto", "train.compile=always", *options.set)
    workers["ours"] = Worker(
        OURS, TrainOptions(text, options.threads, far, clock=options.clock, recipe=SAME, sets=sets)
    )
    starts = {kind: worker.call("advance", 5) for kind, worker in workers.items()}
    rates: dict[str, list[float]] = {kind: [] for kind in workers}
    n_tokens = {kind: w.about["n_tokens_per_step"] * options.steps for kind, w in workers.items()}
    for round_ in range(options.rounds):
        for kind in sorted(workers, reverse=round_ % 2 == 0):
            rates[kind].append(n_tokens[kind] / workers[kind].call("advance", options.steps))
    peaks = {dtype: workers["ours"].call("peak", dtype) for dtype in ("float32", "bfloat16")}
    ours = workers["ours"].about
    peak = peaks["bfloat16" if ours["version"].endswith("bfloat16") else "float32"]
    ceilings = [peak / ours["flops_per_token"]] * options.rounds
    rows = [make_row(f"against {k}", rates["ours"], rates[k], "tok/s", ceilings) for k in PEER_KINDS]
    flops = workers["eager"].about["flops_per_token"]
    machine = {
        "threads": options.threads,
        "clock": options.clock,
        **{f"peak_{dtype}_gflops": round(value / 1e9) for dtype, value in peaks.items()},
        **{
            f"{k}_of_float32_peak": f"{statistics.median(rates[k]) * flops / peaks['float32']:.0%}"
            for k in PEER_KINDS
        },
        **{f"first_5_steps_{kind}_s": round(seconds, 1) for kind, seconds in starts.items()},
    }
    print_report("train_speed", machine, _versions(workers), options.rounds, rows, options)
    _close(workers.values())


def _loss(options: argparse.Namespace, text: str) -> None:
    """Seconds to reach a validation loss, ours and the baseline's."""
    kind = options.peer_kind or _faster_peer(options, text)
    peer = TrainOptions(text, options.threads, options.peer_steps, kind == "compiled", options.clock)
    sets = tuple(options.set)
    workers = {
        "zeropoint": Worker(
            OURS,
            TrainOptions(
                text, options.threads, options.our_steps, clock=options.clock, recipe=BEST, sets=sets
            ),
        ),
        f"nanoGPT's shape, {kind}": Worker(PEER, peer),
    }
    targets = (options.ours, options.ours if options.peer is None else options.peer)
    races = [
        Race(name, target, n_steps, max(1, n_steps // options.validations), worker.about)
        for (name, worker), target, n_steps in zip(
            workers.items(), targets, (options.our_steps, options.peer_steps), strict=True
        )
    ]
    while not all(race.is_over for race in races):
        for race in sorted(races, key=lambda race: race.seconds):
            if not race.is_over:
                race.turn(workers[race.name])
    _print_races(races, options)
    _close(workers.values())


def _faster_peer(options: argparse.Namespace, text: str) -> str:
    """The variant with the lower expected time for all steps, compilation included."""
    expected = {}
    for kind in PEER_KINDS:
        worker = Worker(
            PEER, TrainOptions(text, options.threads, options.peer_steps, kind == "compiled", options.clock)
        )
        start = worker.call("advance", 5)
        a_step = min(worker.call("advance", 20) for _ in range(3)) / 20
        expected[kind] = start + a_step * (options.peer_steps - 5)
        worker.close()
    return min(PEER_KINDS, key=expected.__getitem__)


def _print_races(races: Sequence[Race], options: argparse.Namespace) -> None:
    if options.json:
        print(
            json.dumps(
                {
                    "bench": "train_speed",
                    "threads": options.threads,
                    "clock": options.clock,
                    "sides": [asdict(r) for r in races],
                }
            )
        )
        return
    for race in races:
        arrived = (
            f"in {race.seconds:.1f} s of {options.clock} time"
            if race.has_arrived
            else f"not reached in {race.seconds:.1f} s"
        )
        about = race.about
        print(
            f"{race.name}: validation loss {race.target} {arrived}, {race.step} steps of "
            f"{about['n_tokens_per_step']} tokens, {about['n_parameters']:,} parameters, "
            f"context {about['n_ctx']}, {about['version']}; last loss {race.losses[-1][2]}"
        )
    ours, peer = races
    if ours.has_arrived and peer.has_arrived:
        print(f"ratio: the peer's time is {peer.seconds / ours.seconds:.2f} x ours")


def _versions(workers: dict[str, Worker]) -> dict[str, str]:
    return {worker.about["name"]: worker.about["version"] for worker in workers.values()}


def _close(workers: Any) -> None:
    for worker in workers:
        worker.close()


if __name__ == "__main__":
    sys.exit(main())
