"""Reasoning and tool calls of an answer, from scripted tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zeropoint
from zeropoint import Model
from zeropoint.engine.contract import Event
from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.reply.events import Reasoning, Text, ToolCall
from zeropoint.tokenizers.chat.reply.reply_format import ReplyFormat
from zeropoint.tokenizers.chat.reply.tags import ReasoningTags
from zeropoint.tokenizers.chat.reply.tool_formats.hermes import HermesFormat

TEMPLATE = """{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{{ '<tool_call>' if tools else '' }}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think></think>{% else %}<think>{% endif %}"""
TOOLS = [{"type": "function", "function": {"name": "f"}}]
CALL = '<tool_call>{"name": "f", "arguments": {"n": 1}}</tool_call>'
Script = Callable[[str], None]


@pytest.fixture
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, threads=1) as model:
        model.template.source = TEMPLATE
        yield model


@pytest.fixture
def script(model: Model, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Set the text that the model writes next, control tokens included."""

    def write(text: str) -> None:
        ids = model.tokenizer.encode(text, parse_special=True)
        events = [Event(0, index, None, None, 1, 0, 1) for index in ids] + [
            Event(0, None, None, "stop", 1, 0, 1)
        ]
        monkeypatch.setattr(model.streams, "next_events", lambda request_id: [events.pop(0)])

    return write


def test_reasoning_and_calls_are_separate_from_the_text(model: Model, script: Script) -> None:
    script(f"why</think>\n\nYes.{CALL}")
    stream = model.chat("hello", tools=TOOLS)
    assert list(stream) == ["Y", "e", "s", "."]
    assert (stream.reasoning, stream.text()) == ("why", "Yes.")
    assert stream.tool_calls == [ToolCall(0, "f", '{"n": 1}')]

    script(f"why</think>Yes.{CALL}")
    events = list(model.chat("hello", tools=TOOLS).events())
    assert [event for event in events if isinstance(event, Reasoning)] == [*map(Reasoning, "why")]
    assert events[-1] == ToolCall(0, "f", '{"n": 1}')


def test_without_tools_or_reasoning_all_is_text(model: Model, script: Script) -> None:
    script(f"why</think>{CALL}")
    stream = model.chat("hello", thinking=False)
    assert stream.text() == f"why</think>{CALL}"
    assert (stream.reasoning, stream.tool_calls) == ("", [])


def test_special_tokens_that_are_tags_reach_the_parser_and_no_text(
    model: Model, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = ReplyFormat(ReasoningTags("<|im_start|>", "<|endoftext|>"), HermesFormat())
    monkeypatch.setattr(Model, "find_reply_format", lambda self, for_tools: form)
    script("<|im_start|>why<|endoftext|>Yes.")
    stream = model.chat("hello")
    assert [*stream.events()] == [*map(Reasoning, "why"), *map(Text, "Yes.")]


def test_an_answer_that_is_closed_gives_no_more_events(model: Model, script: Script) -> None:
    script("why</think>Yes.")
    stream = model.chat("hello")
    events = stream.events()
    next(events)
    stream.close()
    assert list(events) == []
    assert stream.finish_reason == "cancelled"


def test_tools_and_variables_reach_the_template(model: Model) -> None:
    plain, no_thoughts = model.encode_chat([MESSAGE]), model.encode_chat([MESSAGE], thinking=False)
    assert model.detokenize(no_thoughts) == f"{model.detokenize(plain)}</think>"
    assert "\n<tool_call><|im_start|>" in model.detokenize(model.encode_chat([MESSAGE], tools=TOOLS))
    variables = {"enable_thinking": False}
    assert model.encode_chat([MESSAGE], template_kwargs=variables) == no_thoughts


MESSAGE = {"role": "user", "content": "hello"}


def test_what_a_template_cannot_do_is_said(model: Model) -> None:
    model.template.source = "{{ messages[0].content }}"
    with pytest.raises(
        BadInput, match="chat template has no place for tools; choose a model that calls tools"
    ):
        model.chat("hello", tools=TOOLS)
    stream = model.chat("hello", thinking=True, max_tokens=1)
    assert stream.notices[-1] == "this model's chat template cannot turn reasoning on or off"
