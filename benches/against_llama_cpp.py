"""zeropoint against llama.cpp at its best: prefill, decode at several context lengths, and batched decode.

llama.cpp runs in four configurations, with and without repacked weights and flash attention, and each
measurement is compared with the fastest of them. Every round also measures memory bandwidth, and decode is
compared with the limit it sets: a token reads every weight and every cached key and value once.
"""

from __future__ import annotations

import sys

from comparison import parser, run
from contestants import llama_cpp


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--alone", action="store_true", help="measure zeropoint only")
    arguments.add_argument(
        "--peer-python", default=sys.executable, help="the Python interpreter that has llama-cpp-python"
    )
    options = arguments.parse_args()
    run("llama.cpp", options, lambda side: [] if options.alone else llama_cpp(side, options.peer_python))


if __name__ == "__main__":
    main()
