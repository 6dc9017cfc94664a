"""Time from process start to the first token, against llama-cpp-python: fresh processes, interleaved.

Each process starts Python, opens the model from a file in the page cache, reads the same text and prints the
most probable token. The clock stops at the first byte on stdout. zeropoint is measured through its Python
interface and through the commands `generate` and `chat`. A second row has the processor time of all threads.
Lower is better; the ratio is the competitor's figure divided by ours.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from statistics import median

from report import Row, add_report_options, print_report

PROMPT = "The sea is a very large body of salt water, and"
OURS = """
import sys, zeropoint
model, prompt, threads = sys.argv[1:]
with zeropoint.load(model, threads=int(threads)) as opened:
    print(opened.generate(prompt, max_tokens=1, temperature=0).text())
"""
COMMAND = "from zeropoint.cli.app import main; main()"  # the script `zeropoint` that pip installs
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
    """For each measurement, our command line and the competitor's."""
    arguments = [str(options.model), PROMPT, str(options.threads)]
    flags = [
        "--model",
        arguments[0],
        "--threads",
        arguments[2],
        "--max-tokens",
        "1",
        "--temperature",
        "0",
        PROMPT,
    ]
    completion = [options.peer_python, "-c", PEER, *arguments]
    return {
        "python": ([sys.executable, "-c", OURS, *arguments], completion),
        "generate": ([sys.executable, "-c", COMMAND, "generate", *flags], completion),
        "chat": (
            [sys.executable, "-c", COMMAND, "chat", *flags],
            [options.peer_python, "-c", PEER_CHAT, *arguments],
        ),
    }


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run one process: (milliseconds to its first byte, milliseconds of processor time until it ends)."""
    start = time.perf_counter()
    none, pipe = subprocess.DEVNULL, subprocess.PIPE
    process = subprocess.Popen(command, stdin=none, stdout=pipe, stderr=pipe, env=environment, bufsize=0)
    if process.stdout is None or process.stderr is None or not process.stdout.read(1):
        sys.stderr.buffer.write(process.stderr.read() if process.stderr else b"")
        raise SystemExit(f"no token came from {command[:3]}")
    seconds = time.perf_counter() - start
    process.stdout.read()
    process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[:3]} ended with {process.returncode}")
    return 1000 * seconds, 1000 * (used.ru_utime + used.ru_stime)


def compare(options: argparse.Namespace) -> list[Row]:
    """For each measurement a row of wall time and one of processor time; the order of the sides
    alternates."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    figures: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for round_ in range(-1, options.rounds):  # round -1 compiles modules and is not counted
        for measure, sides in commands(options).items():
            for side in sorted((0, 1), reverse=round_ % 2 == 0):
                for what, figure in zip(
                    ("", ", processor time"), timed(sides[side], environment), strict=True
                ):
                    if round_ >= 0:
                        figures[measure, what, side].append(figure)
    rows = []
    for measure, what, side in figures:
        if side == 0:
            ours, peer = figures[measure, what, 0], figures[measure, what, 1]
            ratio = median(b / a for a, b in zip(ours, peer, strict=True))
            rows.append(Row(measure + what, median(ours), median(peer), ratio, "ms"))
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    add_report_options(parser)
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python interpreter that has llama-cpp-python"
    )
    options = parser.parse_args()
    options.model = output_of(sys.executable, RESOLVE, options.model)
    versions = {
        "zeropoint": output_of(sys.executable, "import zeropoint; print(zeropoint.__version__)"),
        "llama-cpp-python": output_of(options.peer_python, "import llama_cpp; print(llama_cpp.__version__)"),
    }
    rows = compare(options)
    print_report("first token", {"threads": options.threads}, versions, options.rounds, rows, options)


def output_of(python: str, code: str, *arguments: str) -> str:
    """What a piece of Python code prints."""
    command = [python, "-c", code, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
