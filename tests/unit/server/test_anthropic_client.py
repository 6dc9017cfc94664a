"""Anthropic's own client against /v1/messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.unit.server.conftest import Running

pytest.importorskip("llguidance")
pytestmark = pytest.mark.model
ASK = {"model": "tiny", "max_tokens": 12}
GREEDY = {**ASK, "extra_body": {"temperature": 0}}
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def claude(server: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def calling(claude: anthropic.Anthropic, server: Running) -> Iterator[anthropic.Anthropic]:
    """The client, once the tiny model's template writes calls as Qwen's does."""
    claude.messages.create(messages=HELLO, **{**ASK, "max_tokens": 1})
    thread = server.pool.models["tiny"].thread
    assert thread is not None
    template = thread.model.template
    source = template.source
    template.source = source + "{{ '<tool_call></tool_call>' if tools else '' }}"
    yield claude
    template.source = source


def test_an_answer_and_its_stream_are_the_same(claude: anthropic.Anthropic, client: openai.OpenAI) -> None:
    reply = claude.messages.create(messages=HELLO, system="Be brief.", **GREEDY)
    assert reply.stop_reason == "max_tokens"
    assert reply.usage.output_tokens == 12
    with claude.messages.stream(messages=HELLO, system="Be brief.", **GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert [block.text for block in reply.content] == [text]
    assert final.stop_reason == "max_tokens"
    assert final.usage.output_tokens == 12
    other = client.chat.completions.create(
        messages=[{"role": "system", "content": "Be brief."}, *HELLO], **GREEDY
    )
    assert other.choices[0].message.content == text


def test_stop_sequences_are_named(claude: anthropic.Anthropic) -> None:
    whole = claude.messages.create(messages=HELLO, **GREEDY).content[0].text
    reply = claude.messages.create(messages=HELLO, stop_sequences=[whole[4:6]], **GREEDY)
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", whole[4:6])
    assert reply.content[0].text == whole.split(whole[4:6])[0]


def test_tools_are_called_and_their_results_read(calling: anthropic.Anthropic) -> None:
    ask = {**ASK, "max_tokens": 200, "tools": [TOOL], "tool_choice": {"type": "any"}}
    reply = calling.messages.create(messages=HELLO, **ask)
    (call,) = reply.content
    assert reply.stop_reason == "tool_use"
    assert call.name == "weather"
    assert call.input["city"] in ("Rome", "Oslo")
    with calling.messages.stream(messages=HELLO, **ask) as stream:
        streamed = stream.get_final_message().content[0]
    assert streamed.input["city"] in ("Rome", "Oslo")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "sunny"}]}
    history = [
        *HELLO,
        {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
        {"role": "user", "content": [result, {"type": "text", "text": "so?"}]},
    ]
    plain = claude_tokens(calling, HELLO)
    assert claude_tokens(calling, history) > plain
    assert calling.messages.create(messages=history, **ASK).stop_reason == "max_tokens"


def claude_tokens(claude: anthropic.Anthropic, messages: list[dict[str, object]]) -> int:
    return claude.messages.count_tokens(model="tiny", messages=messages).input_tokens


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role must be user or assistant"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "has the type"),
        ({"frobnicate": 1}, "unknown field `frobnicate`"),
        ({"max_tokens": 0}, "max_tokens must be a whole number"),
    ],
)
def test_errors_have_its_form(claude: anthropic.Anthropic, body: dict[str, object], words: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as error:
        claude.messages.create(messages=HELLO, extra_body=body, **ASK)
    assert isinstance(error.value.body, dict)
    assert error.value.body["type"] == "error"
    assert words in json.dumps(error.value.body)


def test_an_unknown_model_is_not_found(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(messages=HELLO, **{**ASK, "model": "other"})
