"""The server on the wire: protection, limits, disconnects and its other endpoints."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import openai
import pytest

from tests.unit.server.conftest import Running, make_pool
from zeropoint.server.engine_thread import _Queues
from zeropoint.server.guard import GuardOptions
from zeropoint.server.models import PoolLimits

pytestmark = pytest.mark.model
CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}


def error_of(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()["error"]
    assert set(body) == {"message", "type", "param", "code"}
    return reply.status_code, body["code"]


def test_every_path_needs_a_key_if_there_is_one(model_path: Path) -> None:
    with Running(make_pool(model_path), GuardOptions(api_keys=("good", "other"))) as server:
        for path in ("/health", "/metrics", "/v1/models", "/nothing"):
            assert error_of(httpx.get(server.url + path)) == (401, "invalid_api_key")
            wrong = {"authorization": "Bearer bad"}
            assert error_of(httpx.get(server.url + path, headers=wrong)) == (401, "invalid_api_key")
        assert httpx.get(f"{server.url}/health", headers={"x-api-key": "other"}).status_code == 200
        assert [m.id for m in server.client("good").models.list()] == ["tiny"]


def test_other_hosts_are_refused(server: Running) -> None:
    """A page on the web that resolves its own name to 127.0.0.1 must not reach the server."""
    evil = httpx.get(f"{server.url}/health", headers={"host": "evil.example:80"})
    assert error_of(evil) == (403, "host_not_allowed")
    assert httpx.get(f"{server.url}/health", headers={"host": "localhost:1"}).status_code == 200


def test_only_allowed_sites_may_call_from_a_browser(model_path: Path) -> None:
    with Running(make_pool(model_path), GuardOptions(origins=("https://good.example",))) as server:
        allowed = httpx.options(f"{server.url}{CHAT}", headers={"origin": "https://good.example"})
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == "https://good.example"
        other = httpx.get(f"{server.url}/health", headers={"origin": "https://bad.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"messages": NaN}',
        b'{"n": 1, "n": 2}',
        b"\xff\xfe",
        b'{"a":' * 3000,
        b'{"messages": ' + b"[" * 100 + b"]" * 100 + b"}",
    ],
)
def test_what_is_not_a_json_object_is_refused(server: Running, body: bytes) -> None:
    reply = httpx.post(server.url + CHAT, content=body)
    assert error_of(reply) == (400, "invalid_json")
    assert "Traceback" not in reply.text


def test_large_bodies_and_headers_are_refused(model_path: Path) -> None:
    with Running(make_pool(model_path), GuardOptions(max_body_bytes=1000, read_seconds=0.2)) as server:
        assert error_of(httpx.post(server.url + CHAT, content=b" " * 1001)) == (413, "request_too_large")
        parts = (b" " * 300 for _ in range(5))  # without a length
        assert error_of(httpx.post(server.url + CHAT, content=parts)) == (413, "request_too_large")
        headers = {f"x-{i}": "y" * 1000 for i in range(40)}
        assert error_of(httpx.get(f"{server.url}/health", headers=headers)) == (431, "headers_too_large")
        with socket.create_connection(server.address, 10) as slow:  # a body that never comes
            slow.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode())
            assert slow.recv(1000).startswith(b"HTTP/1.1 408")


@pytest.fixture
def stuck(model_path: Path) -> Iterator[Running]:
    """A server whose engine never gets on, with room for one request."""
    pool = make_pool(model_path, PoolLimits(max_running=1, max_waiting=0))
    pool.preload()
    thread = pool.models["tiny"].thread
    assert thread is not None
    thread.model.streams.step = lambda: time.sleep(0.01) is None  # type: ignore[method-assign]
    with Running(pool, GuardOptions()) as server:
        yield server


def test_a_client_that_leaves_frees_its_answer(stuck: Running) -> None:
    thread = stuck.pool.models["tiny"].thread
    assert thread is not None
    with httpx.stream("POST", stuck.url + CHAT, json={**BODY, "stream": True}, timeout=30) as reply:
        lines = reply.iter_lines()  # kept: the client leaves when it is collected
        next(lines)
        assert thread.n_running == 1
    deadline = time.monotonic() + 30
    while thread.n_running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert thread.n_running == 0
    assert thread.model.engine.n_requests == 0


def test_a_full_queue_is_an_error_to_repeat_later(stuck: Running) -> None:
    with httpx.stream("POST", stuck.url + CHAT, json={**BODY, "stream": True}, timeout=30) as reply:
        lines = reply.iter_lines()  # kept: the client leaves when it is collected
        next(lines)
        busy = httpx.post(stuck.url + CHAT, json=BODY)
        assert error_of(busy) == (429, "queue_full")
        assert busy.headers["retry-after"] == "1"
        with pytest.raises(openai.RateLimitError):
            stuck.client().chat.completions.create(model="tiny", messages=BODY["messages"])


def test_the_client_with_the_fewest_answers_is_next() -> None:
    queues = _Queues()
    answers = [SimpleNamespace(client=client, is_cancelled=False) for client in ("a", "a", "a", "b")]
    for answer in answers:
        queues.add(answer)  # type: ignore[arg-type]
    order = []
    while (answer := queues.next()) is not None:
        queues.n_running[answer.client] += 1
        order.append(answer.client)
    assert order == ["a", "b", "a", "a"]


def test_models_load_on_demand_and_make_room(model_path: Path) -> None:
    pool = make_pool(model_path, PoolLimits(max_memory_bytes=1), ("first", "second"))
    with Running(pool, GuardOptions()) as server:
        assert httpx.post(server.url + CHAT, json={**BODY, "model": "first"}).status_code == 200
        assert pool.models["first"].thread is not None
        assert httpx.post(server.url + CHAT, json={**BODY, "model": "second"}).status_code == 200
        assert pool.models["first"].thread is None
        assert pool.models["second"].thread is not None
        assert httpx.post(server.url + CHAT, json=BODY).json()["model"] == "first"


def test_other_endpoints(server: Running) -> None:
    def post(path: str, body: dict[str, object]) -> httpx.Response:
        return httpx.post(server.url + path, json=body)

    ids = post("/tokenize", {"content": "hello"}).json()["tokens"]
    assert post("/detokenize", {"tokens": ids}).json() == {"content": "hello"}
    assert error_of(post("/detokenize", {"tokens": [10**6]})) == (400, "invalid_value")
    assert post("/tokenize", {"content": "hi", "with_pieces": True}).json()["tokens"][0]["piece"] == "h"
    prompt = post("/apply-template", {"messages": BODY["messages"]}).json()["prompt"]
    assert prompt == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    document = httpx.get(f"{server.url}/openapi.json").json()
    fields = document["paths"][CHAT]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert fields["required"] == ["messages"]
    assert fields["properties"]["top_logprobs"]["anyOf"][0]["maximum"] == 20
    assert document["paths"]["/v1/models/{model}"]["get"]["parameters"][0]["name"] == "model"
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    assert 'zeropoint_requests_running{model="tiny"} 0' in httpx.get(f"{server.url}/metrics").text
    assert error_of(httpx.get(f"{server.url}/nothing")) == (404, "unknown_url")
    assert error_of(httpx.get(server.url + CHAT)) == (405, "method_not_allowed")


def test_a_request_id_is_echoed_if_it_is_plain(server: Running) -> None:
    assert httpx.get(f"{server.url}/health", headers={"x-request-id": "abc"}).headers["x-request-id"] == "abc"
    other = httpx.get(f"{server.url}/health", headers={"x-request-id": "a b"}).headers["x-request-id"]
    assert other.startswith("req_")


def test_events_are_framed_as_clients_expect(server: Running) -> None:
    reply = httpx.post(server.url + CHAT, json={**BODY, "stream": True})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    parts = reply.text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""]
    assert all(json.loads(part.removeprefix("data: "))["object"] for part in parts[:-2])
