"""zeropoint against CTranslate2 (int8) or Hugging Face transformers (float32), interleaved.

The competitor reads a folder converted from the same model:

    zeropoint convert MODEL.gguf FOLDER --to F32
    ct2-transformers-converter --model FOLDER --output_dir CT2_FOLDER --quantization int8
"""

from __future__ import annotations

import argparse
import sys

from measures import Measure, bandwidth_of, compare, rows_of, versions_of
from report import add_report_options, print_report
from sides import SideOptions
from worker import Worker

EXTRA_POSITIONS = 128  # beyond the longest prompt
PEERS = {"ctranslate2": (), "transformers": (16, 512)}  # context lengths at which decode is compared


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--model", required=True, help="GGUF path")
    parser.add_argument("--folder", required=True, help="the same model in the format of the competitor")
    parser.add_argument("--prefill", type=int, nargs="*", default=[128, 512, 2048])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--isa", default="", help="limit our engine to an instruction set, e.g. avx2")
    add_report_options(parser)
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python interpreter that has the competitor"
    )
    options = parser.parse_args()
    measures = [Measure("prefill", n) for n in options.prefill]
    measures += [Measure("decode", n) for n in PEERS[options.peer]]
    n_ctx = max(m.n for m in measures) + EXTRA_POSITIONS
    ours = SideOptions(options.model, options.threads, n_ctx, options.isa)
    peer = SideOptions(options.folder, options.threads, n_ctx)
    workers = {
        "zeropoint": Worker("zeropoint", ours),
        options.peer: Worker(options.peer, peer, options.peer_python),
    }
    figures = compare(workers, measures, options.rounds)
    about = workers["zeropoint"].about
    machine = {"processor": about["processor"], "threads": options.threads} | bandwidth_of(figures)
    rows = list(rows_of(figures, measures, about, options.peer))
    print_report(options.peer, machine, versions_of(workers), options.rounds, rows, options)
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()
