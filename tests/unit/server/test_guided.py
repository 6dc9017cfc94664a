"""Answers of a given form over HTTP: response_format, structured_outputs and forced tool calls."""

from __future__ import annotations

import json
import re

import openai
import pydantic
import pytest

from tests.unit.server.conftest import Running

pytest.importorskip("llguidance")
pytestmark = pytest.mark.model
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "seed": 1, "max_tokens": 200}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": ["Rome", "Oslo"]}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("weather", "clock")
]


class Verdict(pydantic.BaseModel):
    is_good: bool
    grade: int = pydantic.Field(ge=1, le=5)


def test_official_structured_parsing_works(client: openai.OpenAI) -> None:
    reply = client.chat.completions.parse(response_format=Verdict, **ASK)
    verdict = reply.choices[0].message.parsed
    assert isinstance(verdict, Verdict)


def test_json_objects_and_other_forms(client: openai.OpenAI) -> None:
    def ask(**body: object) -> str:
        reply = client.chat.completions.create(**ASK, extra_body=body)
        return reply.choices[0].message.content or ""

    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}
    assert len(json.loads(ask(structured_outputs={"json": schema}))) in (2, 3)
    assert re.fullmatch("[ab]{3}", ask(structured_outputs={"regex": "[ab]{3}"}))
    assert ask(structured_outputs={"choice": ["up", "down"]}) in ("up", "down")
    assert ask(structured_outputs={"grammar": 'start: "x" "y"'}) == "xy"


@pytest.fixture
def calling(server: Running):
    """The client, once the tiny model's template writes calls as Qwen's does."""
    server.client().chat.completions.create(**{**ASK, "max_tokens": 1})
    thread = server.pool.models["tiny"].thread
    assert thread is not None
    template = thread.model.template
    source = template.source
    template.source = source + "{{ '<tool_call></tool_call>' if tools else '' }}"
    yield server.client()
    template.source = source


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "clock"}}])
def test_a_forced_call_fits_its_schema(calling: openai.OpenAI, choice: object) -> None:
    reply = calling.chat.completions.create(tools=TOOLS, tool_choice=choice, **ASK)
    (call,) = reply.choices[0].message.tool_calls or []
    assert call.function.name in (("weather", "clock") if choice == "required" else ("clock",))
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Oslo")
    assert reply.choices[0].finish_reason == "tool_calls"
    names, arguments = [], ""
    for chunk in calling.chat.completions.create(tools=TOOLS, tool_choice=choice, stream=True, **ASK):
        for part in chunk.choices[0].delta.tool_calls or []:
            names.append(part.function.name)
            arguments += part.function.arguments or ""
    assert names == [call.function.name]
    assert json.loads(arguments) == json.loads(call.function.arguments)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "cat"}}}}, None),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs"),
        ({"structured_outputs": {"choice": [1]}}, "structured_outputs.choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
    ],
)
def test_a_wrong_form_is_named(client: openai.OpenAI, body: dict[str, object], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**ASK, extra_body=body)
    assert error.value.param == param
    assert "\n" not in error.value.message
