"""zeropoint against llama.cpp: prefill, decode at several context lengths, and batched decode, interleaved.

Runs one model, or generated models in several formats and sizes. llama.cpp uses its library defaults and the
same number of threads. Every round also measures memory bandwidth, and decode is compared with the limit it
sets: a token reads every weight and every cached key and value once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measures import Measure, bandwidth_of, compare, rows_of, versions_of
from report import Row, add_report_options, print_report
from sides import SideOptions
from worker import Worker

PREFILL = (128, 512, 2048, 8192)
DECODE = (16, 512, 2048, 8192)
TOGETHER = (8, 16, 64)
EXTRA_POSITIONS = 128  # beyond the longest prompt
FORMATS = ("Q4_1", "Q4_0", "Q4_K", "Q6_K", "Q8_0", "F16")


@contextmanager
def open_models(options: argparse.Namespace) -> Iterator[Iterator[tuple[str, Path]]]:
    """The models to measure, each with the prefix of its row names ("SIZE FORMAT ")."""
    if not options.generated:
        from zeropoint.catalogue.fetch import resolve

        yield iter([(f"{options.model} ", Path(resolve(options.model).path))])
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
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument(
        "--generated", type=_words, default=[], metavar="135m,1b", help="generate models of these sizes"
    )
    parser.add_argument(
        "--formats", type=_words, default=list(FORMATS), help="number formats of the generated models"
    )
    for kind, default in (("prefill", PREFILL), ("decode", DECODE), ("together", TOGETHER)):
        parser.add_argument(
            f"--{kind}", type=_numbers, default=list(default), metavar="N,N", help="lengths; 0 for none"
        )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", default="", help="limit our engine to an instruction set, e.g. avx2")
    add_report_options(parser)
    parser.add_argument("--alone", action="store_true", help="measure zeropoint only")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python interpreter that has llama-cpp-python"
    )
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text) if int(word) > 0]


def main() -> None:
    """Run the benchmark."""
    options = parse()
    measures = [
        Measure(kind, n) for kind in ("prefill", "decode", "together") for n in getattr(options, kind)
    ]
    longest = max([m.n for m in measures if m.kind != "together"], default=0)
    rows: list[Row] = []
    machine: dict[str, object] = {}
    versions: dict[str, str] = {}
    with open_models(options) as models:
        for prefix, path in models:
            common = SideOptions(str(path), options.threads, longest + EXTRA_POSITIONS, options.isa)
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
    print_report("llama.cpp", machine, versions, options.rounds, rows, options)


if __name__ == "__main__":
    main()
