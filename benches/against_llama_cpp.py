"""zeropoint against llama.cpp: prefill, decode at several contexts, and sequences decoded together, in turns.

On one model, or on generated ones in several formats and sizes. llama.cpp runs with the defaults of its
library and as many threads. Every round also measures the memory's bandwidth, and decode is set beside the
ceiling that it makes: a token reads every weight and every cached key and value once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import Row, print_report, row_of
from sides import Options, random_prompt
from worker import Worker

PREFILL = (128, 512, 2048, 8192)
DECODE = (16, 512, 2048, 8192)
TOGETHER = (8, 16, 64)
FORMATS = ("Q4_1", "Q4_0", "Q4_K", "Q6_K", "Q8_0", "F16")
PROMPT_TOGETHER = 16  # tokens of each prompt of those decoded together
NEW_TOKENS = {"decode": 32, "together": 16}
SIDES = ("zeropoint", "llama_cpp")


@dataclass(frozen=True)
class Measure:
    """kind: prefill, decode or together; n: tokens of the prompt, or sequences."""

    kind: str
    n: int

    @property
    def name(self) -> str:
        return f"{self.kind}{self.n}"

    @property
    def n_tokens(self) -> int:
        """Tokens whose rate is the figure."""
        return self.n if self.kind == "prefill" else NEW_TOKENS[self.kind] * (self.n if self.n_prompts > 1 else 1)

    @property
    def n_prompts(self) -> int:
        return self.n if self.kind == "together" else 1

    @property
    def n_positions(self) -> int:
        """Positions in the caches of all sequences, halfway through."""
        each = PROMPT_TOGETHER if self.kind == "together" else self.n
        return self.n_prompts * (each + NEW_TOKENS.get(self.kind, 0) // 2)

    def run(self, worker: Worker, seed: int) -> float:
        """Tokens a second. Decoding keeps its prompt from round to round, so that it is read but once."""
        n_vocab = 40000
        if self.kind == "prefill":
            return self.n / worker.call("prefill", random_prompt(seed, self.n, n_vocab))
        if self.kind == "decode":
            prompt = random_prompt(self.n, self.n, n_vocab)
            return self.n_tokens / worker.call("decode", prompt, NEW_TOKENS["decode"])
        prompts = [random_prompt(1000 * seed + i, PROMPT_TOGETHER, n_vocab) for i in range(self.n)]
        return self.n_tokens / worker.call("decode_together", prompts, NEW_TOKENS["together"])


def compare(workers: dict[str, Worker], measures: list[Measure], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Figures of (side, measure), one a round, and of ("memory", "bandwidth"); who goes first alternates."""
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for round_ in range(-1, rounds):  # the first warms up and is not counted
        for measure in measures:
            if round_ < 0 and measure.kind == "prefill" and measure.n > 512:
                continue
            rates = {}
            for side in sorted(workers, reverse=round_ % 2 == 0):
                rates[side] = measure.run(workers[side], seed=100 * (round_ + 1) + measure.n)
            if round_ >= 0:
                for side, rate in rates.items():
                    figures[side, measure.name].append(rate)
                if measure.kind == "decode":
                    figures["memory", measure.name].append(workers["zeropoint"].call("bandwidth"))
    return figures


def rows_of(
    figures: dict[tuple[str, str], list[float]], measures: list[Measure], about: dict[str, Any], prefix: str
) -> Iterator[Row]:
    """A row a measure; decode's has its share of the ceiling."""
    for measure in measures:
        read = about["weight_bytes"] + about["cache_bytes_a_position"] * measure.n_positions
        bandwidths = figures.get(("memory", measure.name), [])
        ours, peer = (figures.get((side, measure.name), []) for side in SIDES)
        yield row_of(prefix + measure.name, ours, peer, "tok/s", [b / read for b in bandwidths])


@contextmanager
def models_of(options: argparse.Namespace) -> Iterator[Iterator[tuple[str, Path]]]:
    """The models to measure, each with what goes before the names of its measures."""
    if not options.generated:
        from zeropoint.catalogue.fetch import resolve

        yield iter([("", Path(resolve(options.model).path))])
        return
    from generated import write_generated

    def write(folder: Path) -> Iterator[tuple[str, Path]]:
        for size in options.generated:
            for form in options.formats:
                path = folder / f"{size}-{form}.gguf"
                write_generated(path, size, form)
                yield f"{size} {form} ", path
                path.unlink()

    with tempfile.TemporaryDirectory(prefix="zeropoint-bench-") as folder:
        yield write(Path(folder))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument("--generated", type=_words, default=[], metavar="135m,1b", help="models of these sizes")
    parser.add_argument("--formats", type=_words, default=list(FORMATS), help="their formats")
    for kind, default in (("prefill", PREFILL), ("decode", DECODE), ("together", TOGETHER)):
        parser.add_argument(f"--{kind}", type=_numbers, default=list(default), metavar="N,N", help="0 for none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", default="", help="hold our engine to an instruction set: avx2")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", action="store_true", help="measure zeropoint without the peer")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has llama-cpp-python")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text) if int(word) > 0]


def main() -> None:
    """Parse, run, print."""
    options = parse()
    measures = [Measure(kind, n) for kind in ("prefill", "decode", "together") for n in getattr(options, kind)]
    longest = max([m.n for m in measures if m.kind != "together"] + [PROMPT_TOGETHER])
    rows: list[Row] = []
    machine: dict[str, object] = {}
    versions: dict[str, str] = {}
    with models_of(options) as models:
        for prefix, path in models:
            common = Options(str(path), options.threads, longest + 64, options.isa)
            workers = {"zeropoint": Worker("zeropoint", common)}
            if not options.alone:
                workers["llama_cpp"] = Worker("llama_cpp", common, options.peer_python)
            figures = compare(workers, measures, options.rounds)
            about = workers["zeropoint"].about
            rows += rows_of(figures, measures, about, prefix)
            versions = {w.about["name"]: f"{w.about['version']} {w.about['isa']}" for w in workers.values()}
            machine = {"processor": about["processor"], "threads": options.threads} | _bandwidth(figures)
            for worker in workers.values():
                worker.close()
    print_report("llama.cpp", machine, versions, options.rounds, rows, options.json)


def _bandwidth(figures: dict[tuple[str, str], list[float]]) -> dict[str, object]:
    measured = sorted(b for (side, _), values in figures.items() if side == "memory" for b in values)
    return {"memory_gb_s": round(measured[len(measured) // 2] / 1e9, 1)} if measured else {}


if __name__ == "__main__":
    main()
