"""`chat --url`: a server of OpenAI's API, scripted in this process, that answers well and badly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.scripted_server import Scripted, events
from zeropoint.engine.session.chat import Conversation
from zeropoint.errors import BadInput, NetworkError
from zeropoint.remote.events import read_events
from zeropoint.remote.model import RemoteModel
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.chat.reply.events import Reasoning, Text, ToolCall


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.close()


def test_a_conversation_goes_on_over_http(server: Scripted) -> None:
    server.body = events({"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": " there"})
    with RemoteModel(server.url.removesuffix("/v1"), key="secret", prices=(1.0, 10.0)) as model:
        assert model.name == "first"
        conversation = Conversation(model, "Be brief.")
        params = SamplingParams.of(temperature=0.5, stop="x", speculate="off")
        answer = conversation.ask("hello", params)
        assert list(answer.events()) == [Text("Hi"), Text(" there")]
        assert answer.finish_reason == "stop"
        conversation.ask("more", params).text()
        assert model.totals() == {
            "total_prompt_tokens": 14,
            "total_completion_tokens": 6,
            "total_cost_dollars": pytest.approx(74e-6),
        }
    key, body = server.requests[-1]
    assert key == "Bearer secret"
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert (body["temperature"], body["stop"]) == (0.5, ["x"])
    assert "speculate" not in body


def test_reasoning_and_calls_are_read(server: Scripted) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    server.body = events(
        {"reasoning_content": "hm"}, {"content": "so"}, {"tool_calls": [call]}, {"tool_calls": [rest]}
    )
    with RemoteModel(server.url, "second") as model:
        stream = model.chat([{"role": "user", "content": "x"}])
        assert list(stream.events()) == [Reasoning("hm"), Text("so"), ToolCall(0, "f", '{"a": 1}')]
        assert stream.reasoning == "hm"
    assert server.requests[0][1]["model"] == "second"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "before it was complete"),
        (b'data: {"choices": []}\n\n', "before it was complete"),
        (b"data: nonsense\n\n", "no JSON: 'nonsense'"),
        (b"data: [1]\n\n", "no JSON object"),
        (b'data: {"error": {"message": "out of\\n memory"}}\n\n', "the server reports: out of memory"),
    ],
)
def test_broken_streams_are_errors_in_a_sentence(server: Scripted, body: bytes, words: str) -> None:
    server.body = body
    with RemoteModel(server.url, "m") as model, pytest.raises(NetworkError, match=words):
        list(model.chat([]).events())


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b'{"error": {"message": "bad key"}}', BadInput, "status 401: bad key"),
        (422, b'{"detail": "no"}', BadInput, "status 422: no"),
        (500, b"<html>", NetworkError, "status 500: <html>"),
        (400, b'{"error": "plain"}', BadInput, "plain"),
    ],
)
def test_refusals_are_errors_in_a_sentence(
    server: Scripted, status: int, body: bytes, kind: type[Exception], words: str
) -> None:
    server.status, server.body = status, body
    with RemoteModel(server.url, "m") as model, pytest.raises(kind, match=words):
        model.chat([])


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(NetworkError, match="cannot be reached"):
        RemoteModel("http://127.0.0.1:9/v1")
    with pytest.raises(BadInput, match="is no URL"):
        RemoteModel("localhost:80")


def test_an_event_without_end_is_refused() -> None:
    with pytest.raises(NetworkError, match="too large"):
        list(read_events("data: " + "x" * 100_000 for _ in range(200)))
