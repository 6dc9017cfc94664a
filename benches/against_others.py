"""zeropoint against every program that is installed, interleaved in one run: llama.cpp, ik_llama.cpp,
mistral.rs and OpenVINO GenAI from the same GGUF file, CTranslate2 and transformers from a converted folder.

    zeropoint convert MODEL.gguf FOLDER --to F32                       # for transformers
    ct2-transformers-converter --model FOLDER --output_dir CT2_FOLDER --quantization int8

Each measurement is compared with the fastest of them; the report names it. A program may need its own
interpreter: --python ik_llama_cpp=PATH.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from comparison import parser, run
from contestants import LLAMA_CPP, OTHERS, Contestant, is_installed, open_peer
from sides import SideOptions

SIDES = (LLAMA_CPP, *OTHERS)
FROM_FOLDERS = ("ctranslate2", "transformers")


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--peers", default=",".join(SIDES), metavar="SIDE,SIDE", help="programs to try")
    arguments.add_argument(
        "--python", action="append", default=[], metavar="SIDE=PATH", help="the interpreter of a program"
    )
    for side in FROM_FOLDERS:
        arguments.add_argument(f"--{side}-folder", metavar="FOLDER", help=f"the model converted for {side}")
    options = arguments.parse_args()
    pythons = dict(item.split("=", 1) for item in options.python)
    folders = {side: getattr(options, f"{side}_folder") for side in FROM_FOLDERS}
    chosen = options.peers.split(",")
    if unknown := set(chosen) - set(SIDES):
        arguments.error(f"unknown peer {min(unknown)}; the peers are {', '.join(SIDES)}")

    def open_peers(common: SideOptions) -> Sequence[Contestant]:
        contestants: list[Contestant] = []
        for side in chosen:
            python = pythons.get(side, sys.executable)
            if not is_installed(side, python):
                print(f"{side} is not installed and does not take part", file=sys.stderr)
            elif side not in FROM_FOLDERS:
                contestants += open_peer(side, common, python)
            elif folders[side]:
                contestants += open_peer(side, replace(common, model=folders[side]), python)
        return contestants

    run("others", options, open_peers)


if __name__ == "__main__":
    main()
