"""OpenAI's client against /v1/responses."""

from __future__ import annotations

import json

import openai
import pydantic
import pytest

from tests.unit.server.conftest import Running

pytest.importorskip("llguidance")
pytestmark = pytest.mark.model
ASK = {"model": "tiny", "temperature": 0, "max_output_tokens": 12}
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Verdict(pydantic.BaseModel):
    is_good: bool


@pytest.fixture
def calling(client: openai.OpenAI, server: Running):
    """The client, once the tiny model's template writes calls as Qwen's does."""
    client.responses.create(input="x", **ASK)
    thread = server.pool.models["tiny"].thread
    assert thread is not None
    template = thread.model.template
    source = template.source
    template.source = source + "{{ '<tool_call></tool_call>' if tools else '' }}"
    yield client
    template.source = source


def test_an_answer_is_that_of_chat_completions(client: openai.OpenAI) -> None:
    reply = client.responses.create(input="hello", instructions="Be brief.", **ASK)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    other = client.chat.completions.create(model="tiny", messages=messages, temperature=0, max_tokens=12)
    assert reply.output_text == other.choices[0].message.content
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert reply.usage.output_tokens == 12


def test_a_stream_tells_of_the_same_answer(client: openai.OpenAI) -> None:
    whole = client.responses.create(input="hello", **ASK).output_text
    events = list(client.responses.create(input="hello", stream=True, **ASK))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole
    assert events[-1].response.output_text == whole


def test_a_function_is_called_and_its_result_read(calling: openai.OpenAI) -> None:
    ask = {**ASK, "max_output_tokens": 200, "tools": [TOOL], "tool_choice": "required"}
    reply = calling.responses.create(input="hello", **ask)
    (call,) = reply.output
    assert (call.type, call.name) == ("function_call", "weather")
    assert json.loads(call.arguments)["city"] in ("Rome", "Oslo")
    history = [
        {"role": "user", "content": "hello"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
        {"type": "reasoning", "summary": []},
    ]
    assert calling.responses.create(input=history, **ASK).output_text
    done = [
        e for e in calling.responses.create(input="hello", stream=True, **ask) if "arguments.done" in e.type
    ]
    assert json.loads(done[0].arguments)["city"] in ("Rome", "Oslo")


def test_structured_parsing(client: openai.OpenAI) -> None:
    reply = client.responses.parse(input="hello", text_format=Verdict, **{**ASK, "max_output_tokens": 50})
    assert isinstance(reply.output_parsed, Verdict)


def test_a_stored_conversation_continues(client: openai.OpenAI) -> None:
    first = client.responses.create(input="hello", store=True, **ASK)
    second = client.responses.create(input="more", previous_response_id=first.id, **ASK)
    history = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "more"},
    ]
    assert second.output_text == client.responses.create(input=history, **ASK).output_text
    for gone in (second.id, "resp_unknown"):  # the second was not stored
        with pytest.raises(openai.NotFoundError) as error:
            client.responses.create(input="x", previous_response_id=gone, **ASK)
        assert error.value.code == "previous_response_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": [{"type": "image"}]}, "input[0].type"),
        ({"input": [{"role": "cat", "content": "x"}]}, "input[0].role"),
        ({"truncation": "auto"}, "truncation"),
        ({"background": True}, "background"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ],
)
def test_a_wrong_field_is_named(client: openai.OpenAI, body: dict[str, object], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(input="hello", extra_body=body, **ASK)
    assert error.value.param == param
