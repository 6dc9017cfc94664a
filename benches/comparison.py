"""The command line and the loop over models that the comparisons with other programs share."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from contestants import Contestant, zeropoint
from measures import Measure, bandwidth_of, compare, rows_of, versions_of
from report import Row, add_report_options, print_report
from sides import SideOptions

__all__ = ["parser", "run"]

PREFILL = (128, 512, 2048, 8192)
DECODE = (16, 512, 2048, 8192)
TOGETHER = (8, 16, 64)
EXTRA_POSITIONS = 128  # beyond the longest prompt
FORMATS = ("Q4_1", "Q4_0", "Q4_K", "Q6_K", "Q8_0", "IQ4_XS", "F16")


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every comparison."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument(
        "--generated", type=_words, default=[], metavar="135m,1b,4b", help="generate models of these sizes"
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
    return parser


def run(
    bench: str, options: argparse.Namespace, open_peers: Callable[[SideOptions], Sequence[Contestant]]
) -> None:
    """Measure every model and print the report. open_peers: opens the competitors for one model."""
    measures = [
        Measure(kind, n) for kind in ("prefill", "decode", "together") for n in getattr(options, kind)
    ]
    longest = max([m.n for m in measures if m.kind != "together"], default=0)
    rows: list[Row] = []
    machine: dict[str, object] = {}
    versions: dict[str, str] = {}
    with _open_models(options) as models:
        for prefix, path in models:
            common = SideOptions(str(path), options.threads, longest + EXTRA_POSITIONS, options.isa)
            contestants = [zeropoint(common), *open_peers(common)]
            figures = compare(contestants, measures, options.rounds)
            about = contestants[0].worker.about
            rows += rows_of(figures, measures, about, prefix)
            versions |= versions_of(contestants)
            machine = {"processor": about["processor"], "isa": about["isa"], "threads": options.threads}
            machine |= bandwidth_of(figures)
            for worker in {id(c.worker): c.worker for c in contestants}.values():
                worker.close()
    print_report(bench, machine, versions, options.rounds, rows, options)


@contextmanager
def _open_models(options: argparse.Namespace) -> Iterator[Iterator[tuple[str, Path]]]:
    """The models to measure, each with the prefix of its row names ("SIZE FORMAT ")."""
    if not options.generated:
        from zeropoint.catalogue.fetch import resolve

        path = Path(resolve(options.model).path)
        yield iter([(f"{options.model} {_format_of(path)} ", path)])
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


def _format_of(path: Path) -> str:
    """The format of most weights."""
    from zeropoint.weights.open_model import open_model

    n_bytes: dict[str, int] = {}
    for tensor in open_model(path).file.tensors.values():
        n_bytes[tensor.format] = n_bytes.get(tensor.format, 0) + tensor.n_bytes
    return max(n_bytes, key=n_bytes.__getitem__)


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text) if int(word) > 0]
