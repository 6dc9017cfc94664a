"""The router: the same beginning goes to the same replica, and a lost replica loses no request."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from tests.unit.server.conftest import Running, make_pool
from zeropoint.server.guard import Guard, GuardOptions
from zeropoint.server.router import Replica, Router, prefix_key
from zeropoint.server.run import listen

ASK = {"prompt": "abc", "max_tokens": 6, "seed": 1, "temperature": 0}


@contextmanager
def routed(*replicas: Replica) -> Iterator[tuple[str, Router]]:
    """The router on a free port."""
    listener = listen("127.0.0.1", 0)
    router = Router(replicas, patience=0.5)
    config = uvicorn.Config(Guard(router, GuardOptions()), log_level="critical", lifespan="off")
    server = uvicorn.Server(config)

    async def serve() -> None:
        await server.serve(sockets=[listener])
        await router.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", router
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@contextmanager
def dying(answer: bytes) -> Iterator[Replica]:
    """A replica that sends these bytes and closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield Replica("dying", f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.fixture(scope="module")
def other(model_path: Path) -> Iterator[Running]:
    with Running(make_pool(model_path), GuardOptions()) as running:
        yield running


def post(url: str, body: dict[str, Any], path: str = "/v1/completions") -> httpx2.Response:
    with httpx2.Client(timeout=30) as http:
        return http.post(url + path, json=body)


def test_an_answer_is_that_of_the_replica(server: Running, other: Running) -> None:
    with routed(Replica("a", server.url), Replica("b", other.url)) as (url, router):
        alone, found = post(server.url, ASK), post(url, ASK)
        assert found.json()["choices"] == alone.json()["choices"]
        streamed = post(url, {**ASK, "stream": True})
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert post(url, {"prompt": 5}).status_code == 400
        with httpx2.Client() as http:
            assert http.get(f"{url}/health").json() == {"status": "ok", "replicas": 2}
            assert http.get(f"{url}/v1/models").json()["data"][0]["id"] == "tiny"
        assert all(replica.n_running == 0 for replica in router.replicas)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_a_replica_that_dies_before_its_answer_loses_nothing(server: Running, answer: bytes) -> None:
    alone = post(server.url, ASK).json()["choices"]
    with dying(answer) as lost, routed(lost, Replica("good", server.url)) as (url, router):
        n_lost = 0
        for number in range(6):  # some of them are for the lost one
            lost.is_up = True
            body = {**ASK, "prompt": f"abc{number}"}
            assert post(url, body).json()["choices"] == post(server.url, body).json()["choices"]
            n_lost += not lost.is_up
        assert post(url, ASK).json()["choices"] == alone
        assert n_lost > 0
        assert all(replica.n_running == 0 for replica in router.replicas)


def test_a_stream_that_breaks_ends_with_an_event(server: Running) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    with dying(head + b'b\r\ndata: {"a"}\r\n') as lost, routed(lost) as (url, router):
        text = post(url, {**ASK, "stream": True}).text
        assert text.startswith('data: {"a"}')
        assert json.loads(text.partition("event: error\ndata: ")[2])["error"]["code"] == "replica_lost"
        with httpx2.Client() as http:
            assert http.get(f"{url}/health").status_code == 503
        failed = post(url, ASK)
        assert (failed.status_code, failed.json()["error"]["code"]) == (503, "no_replica")
        assert router.replicas[0].n_running == 0


def test_a_replica_that_comes_back_is_used_again(server: Running) -> None:
    async def checked() -> list[bool]:
        router = Router([Replica("a", server.url, is_up=False), Replica("b", "http://127.0.0.1:9")])
        await router.check()
        await router.close()
        return [replica.is_up for replica in router.replicas]

    assert asyncio.run(checked()) == [True, False]


def test_the_same_beginning_goes_to_the_same_replica() -> None:
    router = Router([Replica(name, "http://127.0.0.1:9") for name in "abcd"])
    system = {"role": "system", "content": "You are a helpful assistant. " * 20}

    def chosen(question: str, system: dict[str, str]) -> str:
        body = {"model": "m", "messages": [system, {"role": "user", "content": question}]}
        return router.order(prefix_key(json.dumps(body).encode()))[0].name

    assert len({chosen(f"question {i}", system) for i in range(20)}) == 1
    spread = {chosen("question", {"role": "system", "content": f"{i} system"}) for i in range(60)}
    assert spread == set("abcd")
    first = chosen("question", system)
    next(replica for replica in router.replicas if replica.name == first).n_running = 30
    assert chosen("question", system) != first  # it has too much work
    asyncio.run(router.close())


def test_keys_do_not_depend_on_what_comes_late() -> None:
    long = "x" * 600
    assert prefix_key(json.dumps({"prompt": long + "a"}).encode()) == prefix_key(
        json.dumps({"prompt": long + "b"}).encode()
    )
    assert prefix_key(b"not json") != prefix_key(b"not json either")
    assert prefix_key(b"[1]")
