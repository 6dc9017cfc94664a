"""Replicas and batches on a local Ray cluster of two nodes. Slow: Ray takes half a minute to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.two_nodes import cluster
from tests.unit.server.test_router import ASK, post

__all__ = ["cluster"]

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.process]


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "zeropoint", "-q", name, *arguments]


def wait_for(url: str, n_replicas: int, process: subprocess.Popen[bytes] | None = None) -> None:
    for _ in range(240):
        assert process is None or process.poll() is None
        try:
            with httpx2.Client() as http:
                if http.get(f"{url}/health").json().get("replicas") == n_replicas:
                    return
        except httpx2.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"there are no {n_replicas} replicas")


def replica_processes() -> list[int]:
    found = subprocess.run(["pgrep", "-f", "ray::ReplicaServer"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def test_a_killed_replica_loses_no_request(cluster: Any, model_path: Path) -> None:
    port = "18391"
    url = f"http://127.0.0.1:{port}"
    options = ["--ray", cluster.address, "--replicas", "2", "--threads", "1", "--port", port]
    server = subprocess.Popen(command("serve", str(model_path), *options), env={**os.environ})
    try:
        wait_for(url, 2, server)
        expected = [post(url, {**ASK, "prompt": f"abc{i}"}).json()["choices"] for i in range(8)]
        os.kill(replica_processes()[0], signal.SIGKILL)
        found = [post(url, {**ASK, "prompt": f"abc{i}"}).json()["choices"] for i in range(8)]
        assert found == expected
        wait_for(url, 2, server)  # Ray has restarted it, and the router has found it
        assert [post(url, {**ASK, "prompt": f"abc{i}"}).json()["choices"] for i in range(8)] == expected
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0


def test_a_batch_has_the_answers_that_it_has_here(cluster: Any, model_path: Path, tmp_path: Path) -> None:
    def line(number: int) -> dict[str, Any]:
        body = {**ASK, "prompt": f"abc{number}"}
        return {"custom_id": f"q{number}", "method": "POST", "url": "/v1/completions", "body": body}

    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(line(number)) + "\n" for number in range(40)))
    answers = []
    for name, more in {"here": [], "ray": ["--ray", cluster.address, "--replicas", "2"]}.items():
        target = tmp_path / f"{name}.jsonl"
        arguments = ["--model", str(model_path), "--threads", "1", str(source), str(target), *more]
        subprocess.run(command("batch", *arguments), check=True, timeout=300)
        lines = [json.loads(text) for text in target.read_text().splitlines()]
        answers.append([(item["custom_id"], item["response"]["body"]["choices"]) for item in lines])
    assert answers[0] == answers[1]
    assert [custom_id for custom_id, _ in answers[0]] == [f"q{number}" for number in range(40)]
