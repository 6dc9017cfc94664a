"""A reply in pieces: its text, reasoning and tool calls, in every format, and what malformed calls become."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from zeropoint import registry
from zeropoint.tokenizers.chat.reply import tags
from zeropoint.tokenizers.chat.reply.calls import Clues, ToolFormat
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, ReplyParser, Text, ToolCall
from zeropoint.tokenizers.chat.reply.reply_format import ReplyFormat, find_format
from zeropoint.tokenizers.chat.reply.tags import ReasoningTags

FORMATS = "zeropoint.tokenizers.chat.reply.tool_formats"
THINK = ReasoningTags("<think>", "</think>")
PROPERTIES = {
    "n": {"type": "integer"},
    "s": {"type": "string"},
    "b": {"type": "boolean"},
    "l": {"type": "array"},
}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"properties": PROPERTIES}}}]


def tool_format(name: str) -> ToolFormat:
    return registry.load_class(FORMATS, name, ToolFormat)()  # type: ignore[type-abstract]


def reply_format(name: str, reasoning: ReasoningTags | None = THINK) -> ReplyFormat:
    return ReplyFormat(is_harmony=True) if name == "harmony" else ReplyFormat(reasoning, tool_format(name))


def read(parser: ReplyParser, pieces: Sequence[str]) -> list[ReplyEvent]:
    """The events of a reply, with neighbouring pieces of text joined."""
    events: list[ReplyEvent] = []
    for event in [event for piece in pieces for event in parser.push(piece)] + parser.finish():
        last = events[-1] if events else None
        if isinstance(event, Text) and isinstance(last, Text):
            events[-1] = Text(last.text + event.text)
        elif isinstance(event, Reasoning) and isinstance(last, Reasoning):
            events[-1] = Reasoning(last.text + event.text)
        else:
            events.append(event)
    return events


def call(index: int = 0, name: str = "f", **arguments: Any) -> ToolCall:
    return ToolCall(index, name, json.dumps(arguments, ensure_ascii=False))


HCALL = call(n=1, s="é")
H = '<tool_call>\n{"name": "f", "arguments": {"n": 1, "s": "é"}}\n</tool_call>'
X = (
    "<tool_call>\n<function=f>\n<parameter=n>\n1\n</parameter>\n<parameter=s>\n2\nlines\n</parameter>\n"
    "<parameter=b>\nTrue\n</parameter>\n</function>\n</tool_call>"
)
G = '<|tool_call>call:f{n:1,s:<|"|>a, "b" {}<|"|>,l:[1.5,true,null,{x:<|"|>y<|"|>}],o:{}}<tool_call|>'
D = (
    "<｜tool▁calls▁begin｜>"
    '<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{"n": 1}\n```<｜tool▁call▁end｜>\n'
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>g\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)
HARMONY = "<|channel|>analysis<|message|>Hmm.<|end|><|start|>assistant"
CASES: dict[str, list[tuple[str, list[ReplyEvent]]]] = {
    "hermes": [
        (H, [call(n=1, s="é")]),
        (
            f"<think>\nwhy\n</think>\n\nYes. \n{H}\n{H}",
            [Reasoning("why"), Text("Yes."), HCALL, call(1, n=1, s="é")],
        ),
        ('<tool_call>{"name": "f"}', [call()]),  # the reply ended without the closing tag
        ('<tool_call>{"name": "f", "arguments": "{\\"n\\": 1}"}</tool_call> Done', [call(n=1), Text("Done")]),
    ],
    "qwen_xml": [
        (X, [call(n=1, s="2\nlines", b=True)]),
        (f"A\n\n{X}\n{X}", [Text("A"), call(n=1, s="2\nlines", b=True), call(1, n=1, s="2\nlines", b=True)]),
        ("<tool_call><function=g></function></tool_call>", [call(name="g")]),
        (
            "<tool_call><function=g><parameter=x>1</parameter></function></tool_call>",
            [call(name="g", x="1")],  # no schema says that it is a number
        ),
    ],
    "pythonic": [
        (
            '<|tool_call_start|>[f(n=-1, s="a]", l=[1, {"k": None}], b=true), g.h()]<|tool_call_end|>Soon',
            [call(n=-1, s="a]", l=[1, {"k": None}], b=True), call(1, "g.h"), Text("Soon")],
        ),
    ],
    "granite": [
        ('<|tool_call|>[{"name": "f", "arguments": {"n": 1}}, {"name": "g"}]', [call(n=1), call(1, "g")]),
        ('<|tool_call|>[{"name": "f"}]<|/tool_call|>', [call()]),
    ],
    "mistral": [
        ('[TOOL_CALLS][{"name": "f", "arguments": {"n": 1}, "id": "abc"}]', [call(n=1)]),
        (
            'Ok[TOOL_CALLS]f[ARGS]{"n": 1}[TOOL_CALLS]g[CALL_ID]x[ARGS]{}',
            [Text("Ok"), call(n=1), call(1, "g")],
        ),
    ],
    "llama3": [
        ('{"name": "f", "parameters": {"n": 1}}', [call(n=1)]),
        ('\n{ "name": "f", "parameters": {}}; {"name": "g", "parameters": {}}', [call(), call(1, "g")]),
        ('<|python_tag|>brave_search.call(query="é")', [call(name="brave_search", query="é")]),
        ('{"type": "function", "function": {"name": "f", "parameters": {"n": 1}}}', [call(n=1)]),
        ('{"nam', [Text('{"nam')]),
        ('{"answer": 1}', [Text('{"answer": 1}')]),
        ("No { call", [Text("No { call")]),
    ],
    "gemma4": [
        (G, [call(n=1, s='a, "b" {}', l=[1.5, True, None, {"x": "y"}], o={})]),
        (
            "<|tool_call>call:f{}<tool_call|><|tool_call>call:g{s:plain}<tool_call|>",
            [call(), call(1, "g", s="plain")],
        ),
    ],
    "deepseek": [(f"Hm.{D}", [Text("Hm."), call(n=1), call(1, "g")])],
    "smollm3": [
        (H, [call(n=1, s="é")]),
        ('<code>\nf(n=1)\ng(s="x")\n</code>', [call(n=1), call(1, "g", s="x")]),
    ],
    "harmony": [
        ("<|channel|>final<|message|>Hi<|return|>", [Text("Hi")]),
        (f"{HARMONY}<|channel|>final<|message|>Hi <b>", [Reasoning("Hmm."), Text("Hi <b>")]),
        (
            f'{HARMONY}<|channel|>commentary to=functions.f <|constrain|>json<|message|>{{"n": 1}}<|call|>',
            [Reasoning("Hmm."), call(n=1)],
        ),
        (
            f'{HARMONY} to=functions.f<|channel|>commentary json<|message|>{{"n": 1}}',
            [Reasoning("Hmm."), call(n=1)],
        ),
        (
            "<|channel|>commentary<|message|>Let me see.<|end|><|start|>assistant to=functions.g"
            "<|channel|>commentary<|message|><|call|>",
            [Text("Let me see."), call(name="g")],
        ),
        ("no channel at all", [Text("no channel at all")]),
    ],
}


def test_every_format_has_a_case() -> None:
    assert set(CASES) == {*registry.names(FORMATS), "harmony"}


@pytest.mark.parametrize("name", CASES)
def test_replies_in_every_format_and_cut_anywhere(name: str) -> None:
    for reply, expected in CASES[name]:
        form = reply_format(name)
        assert read(form.parser(tools=TOOLS), [reply]) == expected
        assert read(form.parser(tools=TOOLS), list(reply)) == expected
        for cut in range(1, len(reply)):
            assert read(form.parser(tools=TOOLS), [reply[:cut], reply[cut:]]) == expected


@pytest.mark.parametrize("name", CASES)
def test_no_part_of_a_tag_reaches_the_text(name: str) -> None:
    for reply, expected in CASES[name]:
        complete = "".join(event.text for event in expected if isinstance(event, Text))
        parser, shown = reply_format(name).parser(tools=TOOLS), ""
        for character in reply:
            shown += "".join(event.text for event in parser.push(character) if isinstance(event, Text))
            assert complete.startswith(shown)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("hermes", '<tool_call>{"name": "f", "arguments": {"n": </tool_call>'),
        ("hermes", '<tool_call>{"name": 1}</tool_call>'),
        ("hermes", "<tool_call>[]</tool_call>"),
        ("hermes", '<tool_call>{"name": "f", "arguments": [1]}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f", "arguments": {"n": NaN}}</tool_call>'),
        ("hermes", f'<tool_call>{{"name": "f", "arguments": {{"n": {"[" * 100_000}</tool_call>'),
        ("hermes", f'<tool_call>{{"name": "f", "arguments": {{"n": {"9" * 10_000}}}}}</tool_call>'),
        ("hermes", '<tool_call>{"name": "f"'),
        ("qwen_xml", "<tool_call><function=f><parameter=n>1</function></tool_call>"),
        ("qwen_xml", "<tool_call><function=f>text</function></tool_call>"),
        ("qwen_xml", '<tool_call>{"name": "f"}</tool_call>'),
        ("qwen_xml", "<tool_call><function=f"),
        ("pythonic", "<|tool_call_start|>[f(1)]<|tool_call_end|>"),
        ("pythonic", "<|tool_call_start|>[f(x=open('/etc/passwd'))]<|tool_call_end|>"),
        ("pythonic", "<|tool_call_start|>[f(**{})]<|tool_call_end|>"),
        ("pythonic", "<|tool_call_start|>[f(x={[]: 1})]<|tool_call_end|>"),
        ("pythonic", f"<|tool_call_start|>[f(x={'-' * 50_000}1)]<|tool_call_end|>"),
        ("pythonic", f"<|tool_call_start|>[f(x={'[' * 50_000}]<|tool_call_end|>"),
        ("pythonic", f"<|tool_call_start|>[f(x={'1+' * 30_000}1)]<|tool_call_end|>"),
        ("pythonic", "<|tool_call_start|>[]<|tool_call_end|>"),
        ("granite", "<|tool_call|>[{]"),
        ("mistral", "[TOOL_CALLS]f[ARGS]{"),
        ("mistral", "[TOOL_CALLS]"),
        ("llama3", '{"name": "f", "parameters": {"n": 1}'),
        ("llama3", '{"name": "f"} and more'),
        ("gemma4", "<|tool_call>call:f{n:<tool_call|>"),
        ("gemma4", '<|tool_call>call:f{s:<|"|>a}<tool_call|>'),
        ("gemma4", "<|tool_call>f{}<tool_call|>"),
        ("gemma4", f"<|tool_call>call:f{{n:{'[' * 100_000}<tool_call|>"),
        ("deepseek", "<｜tool▁calls▁begin｜>f<｜tool▁calls▁end｜>"),
        ("smollm3", "<code>import os\nos.remove('x')</code>"),
    ],
)
def test_a_malformed_call_is_text(name: str, reply: str) -> None:
    assert read(reply_format(name).parser(tools=TOOLS), [reply]) == [Text(reply)]


def test_a_malformed_call_of_harmony_is_text() -> None:
    reply = "<|channel|>commentary to=functions.f<|message|>{<|call|>"
    assert read(reply_format("harmony").parser(tools=TOOLS), [reply]) == [Text("{")]


def test_a_call_without_end_is_text_from_some_length_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MAX_CALL_CHARS", 100)
    parser = reply_format("hermes").parser(tools=TOOLS)
    reply = "<tool_call>" + "x" * 200
    assert read(parser, list(reply)) == [Text(reply)]


def test_without_tools_a_call_is_text() -> None:
    for name in ("hermes", "llama3", "mistral"):
        reply = CASES[name][0][0]
        assert read(reply_format(name).parser(), list(reply)) == [Text(reply)]


def test_reasoning_that_the_prompt_began() -> None:
    parser = reply_format("hermes").parser("<|im_start|>assistant\n<think>\n")
    assert read(parser, list("why\n\n</think>\n\n It is.\n")) == [Reasoning("why"), Text("It is.\n")]
    parser = reply_format("hermes").parser("<think>\n\n</think>\n\n")
    assert read(parser, list("It is. </think>")) == [Text("It is. </think>")]


def test_reasoning_that_does_not_end() -> None:
    assert read(reply_format("hermes").parser(), list("<think>\nwhy </thi")) == [Reasoning("why </thi")]
    assert read(reply_format("hermes").parser(), list("<think>\n\n</think>\n\n")) == []


def test_a_tag_within_an_answer_is_text() -> None:
    reply = "The tag <think> opens\n"
    assert read(reply_format("hermes").parser(tools=TOOLS), list(reply)) == [Text(reply)]


def test_text_is_passed_on_unchanged() -> None:
    rng = random.Random(0)
    for form in (ReplyFormat(), reply_format("hermes"), reply_format("pythonic")):
        for _ in range(200):
            reply = "a" + "".join(rng.choices([" ", "\n", "a", "<", "<tool", "<think", "</", ">", "{"], k=30))
            assert "".join(event.text for event in read(form.parser(tools=TOOLS), list(reply))) == reply  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "reply",
    ["<" * 20_000, "\n" * 20_000, "<tool_call></tool_call>" * 1000, "<think>" * 3000, " <tool_call>" * 2000],
)
def test_long_replies_of_tags(reply: str) -> None:
    for form in (reply_format("hermes"), reply_format("harmony"), reply_format("mistral")):
        read(form.parser(tools=TOOLS), [reply])
        parser = form.parser(tools=TOOLS)
        for character in reply:
            parser.push(character)
        parser.finish()


@pytest.mark.parametrize("name", CASES)
def test_damaged_replies_never_fail(name: str) -> None:
    rng = random.Random(0)
    form = reply_format(name)
    for reply, _ in CASES[name]:
        for _ in range(100):
            start = rng.randrange(len(reply))
            middle = rng.choice(["", "{", '"', "<", "\x00", "]", reply[: rng.randrange(len(reply))]])
            read(form.parser(tools=TOOLS), [reply[:start], middle, reply[start + rng.randrange(4) :]])


def tokens(*present: str) -> Callable[[str], bool]:
    return lambda token: token in present


@pytest.mark.parametrize(
    ("template", "present", "tools", "reasoning"),
    [
        ("<tool_call> </think>", (), "hermes", "<think>"),
        ("<tool_call>\n<function=", (), "qwen_xml", None),
        ("", ("<tool_call>", "</think>"), "hermes", "<think>"),
        ("", ("<|tool_call_start|>",), "pythonic", None),
        ("python_tools <tool_call>", (), "smollm3", None),
        ("<|tool_call|> <response></response> <think></think>", (), "granite", "<think>"),
        ("<tool_call>", ("<|tool_call|>",), "hermes", None),
        ("[TOOL_CALLS] [/THINK]", (), "mistral", "[THINK]"),
        ("<|tool_call> <channel|>", (), "gemma4", "<|channel>thought\n"),
        ('{"name": function name', (), "llama3", None),
        ("<tool_call>", ("<|python_tag|>",), "hermes", None),
        ("plain", (), None, None),
    ],
)
def test_the_format_is_found(
    template: str, present: tuple[str, ...], tools: str | None, reasoning: str | None
) -> None:
    form = find_format(template, tokens(*present))
    assert (form.tools and registry.name_of(form.tools)) == tools
    assert (form.reasoning and form.reasoning.opens) == reasoning


def test_only_one_format_claims_a_template() -> None:
    formats = [tool_format(name) for name in registry.names(FORMATS)]
    for template in ("<tool_call>", "<tool_call><function=", "python_tools <tool_call>", "[TOOL_CALLS]"):
        assert sum(form.is_used(Clues(template, tokens())) for form in formats) == 1


def test_the_answer_tags_of_granite_are_left_out() -> None:
    form = find_format("<think></think> <response></response>", tokens())
    reply = "<think>why</think><response>Yes.</response>"
    assert read(form.parser(), list(reply)) == [Reasoning("why"), Text("Yes.")]
    assert read(form.parser(), ["<response>"]) == [Text("<response>")]
