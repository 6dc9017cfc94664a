"""zeropoint's server and others under load: total speed, and how long a client waits.

Every client asks one question after another and streams the answers. Prompts are distinct, or share a long
beginning. Servers take turns at each load; all speak OpenAI's API and run the same GGUF file.

    python benches/serving.py --peer-python PYTHON    # an interpreter with llama-cpp-python[server]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

_WORDS = (
    "river",
    "stone",
    "lamp",
    "garden",
    "winter",
    "bridge",
    "letter",
    "copper",
    "music",
    "window",
    "forest",
    "market",
    "harbour",
)


@dataclass
class Load:
    """What clients saw. Seconds to the first token of each answer, and between tokens."""

    seconds: float = 0.0
    n_tokens: int = 0
    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)


def main() -> None:
    """Run the benchmark and print a table, or one JSON object per row with --json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2:135m", help="catalogue name or GGUF path")
    parser.add_argument("--peer-python", default="", help="the Python interpreter that has llama-cpp-python")
    parser.add_argument("--clients", default="1,4,16", help="numbers of clients")
    parser.add_argument("--requests", type=int, default=3, help="requests of each client")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of each answer")
    parser.add_argument("--prompt-words", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    servers = {"zeropoint": zeropoint_command(options)}
    if options.peer_python:
        servers["llama-cpp-python"] = llama_command(options)
    rows = []
    for is_shared in (False, True):
        for n_clients in map(int, options.clients.split(",")):
            for name, command in servers.items():
                with running(command) as url:
                    load = asyncio.run(measure(url, n_clients, is_shared, options))
                rows.append((name, n_clients, is_shared, load))
                print(line(*rows[-1], as_json=options.json), flush=True)


def zeropoint_command(options: argparse.Namespace) -> list[str]:
    """Our server, with `PORT` for its port."""
    threads = ["--threads", str(options.threads)]
    return [sys.executable, "-m", "zeropoint", "-q", "serve", options.model, "--port", "PORT", *threads]


def llama_command(options: argparse.Namespace) -> list[str]:
    """The server of llama-cpp-python, which answers one request at a time."""
    from zeropoint.catalogue.fetch import resolve

    path = str(resolve(options.model).path)
    threads = ["--n_threads", str(options.threads), "--n_threads_batch", str(options.threads)]
    more = ["--n_ctx", "4096", "--flash_attn", "True", "--interrupt_requests", "False"]
    python = [options.peer_python, "-m", "llama_cpp.server"]
    return [*python, "--model", path, "--port", "PORT", *threads, *more]


@contextmanager
def running(command: list[str]) -> Iterator[str]:
    """The server on a free port, from when it answers until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if command[0] == sys.executable:
        environment = dict(os.environ)
    process = subprocess.Popen(
        [port if part == "PORT" else part for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{command[2]} ended with status {process.returncode}")
            try:
                httpx2.get(f"{url}/v1/models", timeout=1).raise_for_status()
                break
            except httpx2.HTTPError:
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def measure(url: str, n_clients: int, is_shared: bool, options: argparse.Namespace) -> Load:
    """All clients at once; a request before them warms up."""
    load = Load()
    async with httpx2.AsyncClient(
        base_url=url, timeout=600, limits=httpx2.Limits(max_connections=None)
    ) as http:
        await ask(http, prompt(-1, is_shared, options), 4, Load())
        start = time.perf_counter()
        await asyncio.gather(*(client(http, number, is_shared, options, load) for number in range(n_clients)))
        load.seconds = time.perf_counter() - start
    return load


async def client(
    http: httpx2.AsyncClient, number: int, is_shared: bool, options: argparse.Namespace, load: Load
) -> None:
    """One client: its requests one after another."""
    for i in range(options.requests):
        text = prompt(number * options.requests + i, is_shared, options)
        await ask(http, text, options.tokens, load)


async def ask(http: httpx2.AsyncClient, text: str, n_tokens: int, load: Load) -> None:
    """Stream one answer. A piece of text counts as a token, as both servers send it."""
    body = {"prompt": text, "max_tokens": n_tokens, "stream": True, "temperature": 0.8, "seed": 1}
    last = start = time.perf_counter()
    async with http.stream("POST", "/v1/completions", json=body) as reply:
        async for data in reply.aiter_lines():
            if not data.startswith("data: {"):
                continue
            choice = (json.loads(data[6:]).get("choices") or [{}])[0]
            if not choice.get("text"):
                continue
            now = time.perf_counter()
            (load.between if last > start else load.first).append(now - last)
            last = now
            load.n_tokens += 1


def prompt(number: int, is_shared: bool, options: argparse.Namespace) -> str:
    """Words in an order of their own, or after a beginning that all share."""
    words = [_WORDS[(number * 7 + i * (i + number)) % len(_WORDS)] for i in range(options.prompt_words)]
    shared = [_WORDS[(i * i + 3) % len(_WORDS)] for i in range(4 * options.prompt_words)]
    return " ".join([*(shared if is_shared else []), *words])


def line(name: str, n_clients: int, is_shared: bool, load: Load, *, as_json: bool) -> str:
    """A row of the report: speed of all clients, and seconds that they waited."""
    first, between = sorted(load.first), sorted(load.between) or [0.0]
    row = {
        "server": name,
        "clients": n_clients,
        "prompts": "shared beginning" if is_shared else "distinct",
        "tokens_per_second": round(load.n_tokens / load.seconds, 1),
        "first_token_p50_ms": round(1000 * statistics.median(first)),
        "first_token_p99_ms": round(1000 * first[int(0.99 * (len(first) - 1))]),
        "between_p99_ms": round(1000 * between[int(0.99 * (len(between) - 1))]),
    }
    return json.dumps(row) if as_json else "  ".join(f"{key} {value}" for key, value in row.items())


if __name__ == "__main__":
    main()
