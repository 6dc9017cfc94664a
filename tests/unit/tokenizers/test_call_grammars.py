"""The grammar of each tool format accepts calls that fit the schema, which it parses again, and no others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zeropoint import registry
from zeropoint.tokenizers.chat.reply.call_grammars import quoted
from zeropoint.tokenizers.chat.reply.calls import ToolFormat, schemas_of

llguidance = pytest.importorskip("llguidance")

FORMATS = "zeropoint.tokenizers.chat.reply.tool_formats"
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "days": {"type": "integer", "minimum": 1},
                    "city": {"type": "string"},
                    "metric": {"type": "boolean"},
                    "when": {"$ref": "#/$defs/When"},
                },
                "required": ["city"],
                "additionalProperties": False,
                "$defs": {"When": {"enum": ["now", "later"]}},
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]
GOOD = {"days": 3, "city": 'Rome "x"', "metric": True, "when": "now"}
JSON = json.dumps({"name": "weather", "arguments": {**GOOD}})
CALLS = {  # what a model writes for GOOD, and the same with a value that the schema refuses
    "hermes": f"<tool_call>\n{JSON}\n</tool_call>",
    "smollm3": f"<tool_call>\n{JSON}\n</tool_call>",
    "granite": f"<|tool_call|>[{JSON}]",
    "mistral": f"[TOOL_CALLS][{JSON}]",
    "llama3": JSON.replace("arguments", "parameters"),
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
    + json.dumps(GOOD)
    + "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "pythonic": '<|tool_call_start|>[weather(city="Rome \\"x\\"", days=3, metric=True, when="now")]'
    "<|tool_call_end|>",
    "qwen_xml": '<tool_call>\n<function=weather>\n<parameter=city>\nRome "x"\n</parameter>\n'
    "<parameter=days>\n3\n</parameter>\n<parameter=metric>\ntrue\n</parameter>\n"
    '<parameter=when>\n"now"\n</parameter>\n</function>\n</tool_call>',
}


def accepts(grammar: str, text: str) -> bool:
    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    ids = tokenizer.tokenize_str(text)
    return bool(matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting())


def form(name: str) -> ToolFormat:
    return registry.load_class(FORMATS, name, ToolFormat, "format")()  # type: ignore[type-abstract]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fits_is_accepted_and_parsed(name: str) -> None:
    text, tools = CALLS[name], form(name)
    grammar = tools.call_grammar(TOOLS, quoted)
    assert grammar is not None
    assert accepts(grammar, text)
    opened = tools.opens[0] if tools.is_tagged else ""
    rest = tools.call_grammar(TOOLS, quoted, is_open=True)
    assert rest is not None
    assert accepts(rest, text.removeprefix(opened))
    body = text.removeprefix(opened)
    for close in tools.closes:
        body = body.removesuffix(close)
    (call,) = tools.parse(body, schemas_of(TOOLS))
    assert call.name == "weather"
    expected = {**GOOD, "when": '"now"'} if name == "qwen_xml" else GOOD
    found = json.loads(call.arguments)
    assert {**found, "when": found["when"].strip('"')} == {**expected, "when": "now"}


@pytest.mark.parametrize("name", CALLS)
def test_a_value_outside_the_schema_is_refused(name: str) -> None:
    grammar = form(name).call_grammar(TOOLS, quoted)
    assert grammar is not None
    for good, bad in (("weather", "wether"), ("3", "0"), ("now", "soon")):
        assert good in CALLS[name]
        assert not accepts(grammar, bad.join(CALLS[name].rsplit(good, 1)))


@pytest.mark.parametrize("name", ["pythonic", "qwen_xml"])
def test_optional_parameters_may_be_left_out(name: str) -> None:
    grammar = form(name).call_grammar(TOOLS, quoted)
    short = {
        "pythonic": ['[weather(city="x")]', '[weather(city="x", metric=False), now()]'],
        "qwen_xml": ["\n<function=weather>\n<parameter=city>\nx\n</parameter>\n</function>\n"],
    }[name]
    closed = form(name).closes[0]
    for text in short:
        assert accepts(grammar, form(name).opens[0] + text + closed)
    assert not accepts(grammar, form(name).opens[0] + "[weather()]" + closed)


def test_every_format_can_be_guided_but_those_named_in_the_docs() -> None:
    unguided = {n for n in registry.names(FORMATS) if form(n).call_grammar(TOOLS, quoted) is None}
    assert unguided == {"gemma4"}
