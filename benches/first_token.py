"""From the start of a process to its first token, against llama-cpp-python: fresh processes, taking turns.

Each starts Python, opens the model from a file that the system has in its cache, reads the same text and
prints one token, the most probable. The clock stops at the first byte on stdout. Ours is measured as the
Python interface and as the commands `generate` and `chat`. Besides the time, what all threads together used
of the processors. Less is better; the ratio is the peer's figure by ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from statistics import median

from report import Row, print_report

PROMPT = "The sea is a very large body of salt water, and"
OURS = """
import sys, zeropoint
model, prompt, threads = sys.argv[1:]
with zeropoint.load(model, threads=int(threads)) as opened:
    print(opened.generate(prompt, max_tokens=1, temperature=0).text())
"""
COMMAND = "from zeropoint.cli.app import main; main()"  # what pip writes into the script `zeropoint`
PEER = """
import sys, llama_cpp
model, prompt, threads = sys.argv[1:]
opened = llama_cpp.Llama(model, n_threads=int(threads), n_threads_batch=int(threads), verbose=False)
print(opened.create_completion(prompt, max_tokens=1, temperature=0)["choices"][0]["text"])
"""
PEER_CHAT = PEER.replace(
    'create_completion(prompt, max_tokens=1, temperature=0)["choices"][0]["text"]',
    'create_chat_completion([{"role": "user", "content": prompt}], max_tokens=1, temperature=0)'
    '["choices"][0]["message"]["content"]',
)
RESOLVE = """
import sys
from zeropoint.catalogue.fetch import resolve
print(resolve(sys.argv[1]).path)
"""


def commands(options: argparse.Namespace) -> dict[str, tuple[list[str], list[str]]]:
    """Ours and the peer's command line of each measure."""
    given = [str(options.model), PROMPT, str(options.threads)]
    flags = ["--model", given[0], "--threads", given[2], "--max-tokens", "1", "--temperature", "0", PROMPT]
    completion = [options.peer_python, "-c", PEER, *given]
    return {
        "python": ([sys.executable, "-c", OURS, *given], completion),
        "generate": ([sys.executable, "-c", COMMAND, "generate", *flags], completion),
        "chat": (
            [sys.executable, "-c", COMMAND, "chat", *flags],
            [options.peer_python, "-c", PEER_CHAT, *given],
        ),
    }


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """(milliseconds to the first byte, milliseconds of all processors until the end) of one process."""
    start = time.perf_counter()
    none, pipe = subprocess.DEVNULL, subprocess.PIPE
    process = subprocess.Popen(command, stdin=none, stdout=pipe, stderr=pipe, env=environment, bufsize=0)
    if process.stdout is None or process.stderr is None or not process.stdout.read(1):
        sys.stderr.buffer.write(process.stderr.read() if process.stderr else b"")
        raise SystemExit(f"no token came of {command[:3]}")
    seconds = time.perf_counter() - start
    process.stdout.read()
    process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:3]} ended with {process.returncode}")
    return 1000 * seconds, 1000 * (used.ru_utime + used.ru_stime)


def compare(options: argparse.Namespace) -> list[Row]:
    """A row for the time and one for the processors of each measure; who goes first alternates."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for round_ in range(-1, options.rounds):  # the first writes compiled modules and is not counted
        for measure, sides in commands(options).items():
            for side in sorted((0, 1), reverse=round_ % 2 == 0):
                for what, figure in zip(("", ", processors"), timed(sides[side], environment), strict=True):
                    if round_ >= 0:
                        found[measure, what, side].append(figure)
    rows = []
    for measure, what, side in found:
        if side == 0:
            ours, peer = found[measure, what, 0], found[measure, what, 1]
            ratio = median(b / a for a, b in zip(ours, peer, strict=True))
            rows.append(Row(measure + what, median(ours), median(peer), ratio, "ms"))
    return rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has llama-cpp-python")
    options = parser.parse_args()
    options.model = said(sys.executable, RESOLVE, options.model)
    versions = {
        "zeropoint": said(sys.executable, "import zeropoint; print(zeropoint.__version__)"),
        "llama-cpp-python": said(options.peer_python, "import llama_cpp; print(llama_cpp.__version__)"),
    }
    rows = compare(options)
    print_report("first token", {"threads": options.threads}, versions, options.rounds, rows, options.json)


def said(python: str, code: str, *arguments: str) -> str:
    """What a piece of Python printed."""
    command = [python, "-c", code, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
