"""zeropoint against llama.cpp on one model: prefill and decode of one sequence, taking turns.

Each side is a process of its own that loads the model once and then does one measure when told to, while the
other waits asleep. llama.cpp runs with the defaults of its Python package and as many threads; its decode is
fed given tokens and samples nothing, ours samples greedily, so the comparison leans towards the peer.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from report import print_report, rows_of

PREFILL_OF = (128, 512)
DECODE_AT = (16, 512)
DECODE_TOKENS = 48


def ours(model: str, threads: int) -> Callable[[str, list[int]], float]:
    """Seconds for one measure, by our engine."""
    import zeropoint
    from zeropoint.engine.contract import Request

    loaded = zeropoint.load(model, threads=threads, context=1024)

    def run(kind: str, ids: list[int]) -> float:
        n_new = 1 if kind == "prefill" else DECODE_TOKENS + 1
        start = time.perf_counter()
        loaded.engine.submit(Request(ids, zeropoint.SamplingParams.of(temperature=0.0, max_tokens=n_new)))
        first = 0.0
        while True:
            for event in loaded.engine.step():
                if event.token is not None and not first:
                    first = time.perf_counter()
                if event.finish is not None:
                    return first - start if kind == "prefill" else time.perf_counter() - first

    return run


def peer(model: str, threads: int) -> Callable[[str, list[int]], float]:
    """Seconds for one measure, by llama.cpp through the C interface of its Python package."""
    import ctypes

    import llama_cpp

    loaded = llama_cpp.Llama(model, n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)
    context = loaded.ctx

    def decode(tokens: list[int]) -> None:
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        code = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens)))
        if code != 0:
            raise RuntimeError(f"llama_decode returned {code}")
        llama_cpp.llama_get_logits(context)  # waits until the logits are there
        ctypes.pythonapi.PyErr_CheckSignals()

    def read(ids: list[int]) -> None:
        for start in range(0, len(ids), loaded.n_batch):
            decode(ids[start : start + loaded.n_batch])

    def run(kind: str, ids: list[int]) -> float:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        if kind == "prefill":
            start = time.perf_counter()
            read(ids)
            return time.perf_counter() - start
        read(ids)
        start = time.perf_counter()
        for token in ids[:DECODE_TOKENS] if len(ids) >= DECODE_TOKENS else ids * 3:
            decode([token])
        return time.perf_counter() - start

    return run


def serve(side: str, model: str, threads: int) -> None:
    """A worker: a measure a line in, seconds out."""
    run = {"ours": ours, "peer": peer}[side](model, threads)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        kind, ids = json.loads(line)
        print(json.dumps(run(kind, ids)), flush=True)


class Worker:
    """One side in a process of its own."""

    def __init__(self, side: str, model: str, threads: int, python: str) -> None:
        command = [python, __file__, "--worker", side, "--model", model, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def run(self, kind: str, ids: list[int]) -> float:
        """Seconds."""
        assert self.process.stdin is not None
        print(json.dumps([kind, ids]), file=self.process.stdin, flush=True)
        return float(self._read())

    def _read(self) -> object:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended; run with its error above")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def compare(workers: dict[str, Worker], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Tokens a second of every measure for both sides, in rounds that alternate who goes first."""
    rng = np.random.default_rng(0)
    results: dict[str, dict[str, list[float]]] = {"ours": {}, "peer": {}}
    measures = [("prefill", n, n) for n in PREFILL_OF] + [("decode", n, DECODE_TOKENS) for n in DECODE_AT]
    for round_ in range(-1, rounds):  # the first round warms up and is not counted
        for kind, n_prompt, n_tokens in measures:
            sides = sorted(workers, reverse=round_ % 2 == 0)
            for side in sides:
                ids = rng.integers(100, 40000, n_prompt).tolist()
                seconds = workers[side].run(kind, ids)
                if round_ >= 0:
                    results[side].setdefault(f"{kind}{n_prompt}", []).append(n_tokens / seconds)
    return results


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has llama-cpp-python")
    parser.add_argument("--worker", choices=["ours", "peer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return serve(options.worker, options.model, options.threads)

    from zeropoint import _native
    from zeropoint.catalogue.fetch import resolve

    path = str(resolve(options.model).path)
    workers = {
        "ours": Worker("ours", path, options.threads, sys.executable),
        "peer": Worker("peer", path, options.threads, options.peer_python),
    }
    results = compare(workers, options.rounds)
    for worker in workers.values():
        worker.close()
    machine = _native.machine()
    about = {"processor": machine["cpu"], "kernels": machine["isas"][0], "threads": options.threads}
    versions = {"zeropoint": importlib.metadata.version("zeropoint")} if _is_installed("zeropoint") else {}
    rows = rows_of(results["ours"], results["peer"], "tok/s")
    return print_report("llama.cpp", about, versions, options.rounds, rows, options.json)


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
