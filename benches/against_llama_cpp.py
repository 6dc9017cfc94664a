"""zeropoint against llama.cpp: prefill, decode at several contexts, and sequences decoded together, in turns.

On one model, or on generated ones in several formats and sizes. llama.cpp runs with the defaults of its
library and as many threads. Every round also measures the memory's bandwidth, and decode is set beside the
ceiling that it makes: a token reads every weight and every cached key and value once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measures import Measure, bandwidth_of, compare, rows_of, versions_of
from report import Row, print_report
from sides import Options
from worker import Worker

PREFILL = (128, 512, 2048, 8192)
DECODE = (16, 512, 2048, 8192)
TOGETHER = (8, 16, 64)
ROOM = 128  # positions beside the longest prompt
FORMATS = ("Q4_1", "Q4_0", "Q4_K", "Q6_K", "Q8_0", "F16")


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
    parser.add_argument(
        "--generated", type=_words, default=[], metavar="135m,1b", help="models of these sizes"
    )
    parser.add_argument("--formats", type=_words, default=list(FORMATS), help="their formats")
    for kind, default in (("prefill", PREFILL), ("decode", DECODE), ("together", TOGETHER)):
        parser.add_argument(
            f"--{kind}", type=_numbers, default=list(default), metavar="N,N", help="0 for none"
        )
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
    measures = [
        Measure(kind, n) for kind in ("prefill", "decode", "together") for n in getattr(options, kind)
    ]
    longest = max([m.n for m in measures if m.kind != "together"], default=0)
    rows: list[Row] = []
    machine: dict[str, object] = {}
    versions: dict[str, str] = {}
    with models_of(options) as models:
        for prefix, path in models:
            common = Options(str(path), options.threads, longest + ROOM, options.isa)
            workers = {"zeropoint": Worker("zeropoint", common)}
            if not options.alone:
                workers["llama_cpp"] = Worker("llama_cpp", common, options.peer_python)
            figures = compare(workers, measures, options.rounds)
            about = workers["zeropoint"].about
            rows += rows_of(figures, measures, about, "llama_cpp", prefix)
            versions = versions_of(workers)
            machine = {"processor": about["processor"], "threads": options.threads} | bandwidth_of(figures)
            for worker in workers.values():
                worker.close()
    print_report("llama.cpp", machine, versions, options.rounds, rows, options.json)


if __name__ == "__main__":
    main()
