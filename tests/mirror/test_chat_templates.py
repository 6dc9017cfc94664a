"""Chat templates render here as in transformers, and a prompt has the ids that transformers gives it.

The only differences are intended: a system prompt without a place is kept (`tokenizers/chat/system_prompt`).
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.prompt import encode_chat
from zeropoint.tokenizers.chat.template import ChatTemplate
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode
from zeropoint.tokenizers.formats.from_hf import gguf_metadata
from zeropoint.tokenizers.formats.gguf import load_tokenizer

CONTROL = ["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "[INST]", "[/INST]"]
CONTROL += ["<start_of_turn>", "<end_of_turn>"]
# In the style of the published templates; each uses what its family uses.
PHI3 = """{{ bos_token }}{% for message in messages %}
{% if message.role in ['system', 'user', 'assistant'] %}
{{ '<|' ~ message.role ~ '|>\\n' ~ message.content ~ '<|end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
MISTRAL = """{%- set ns = namespace(system='') %}
{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list %}
{%- for message in messages | selectattr('role', 'equalto', 'system') %}
{%- set ns.system = ns.system ~ message['content'] | trim ~ '\\n\\n' %}
{%- endfor %}
{{- bos_token }}
{%- for message in turns %}
    {%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate user/assistant') }}
    {%- endif %}
    {%- if message.role == 'user' %}
        {%- if loop.last and tools %}
            {{- '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' + (ns.system if loop.last else '') + message.content + ' [/INST]' }}
    {%- elif message.tool_calls is defined and message.tool_calls %}
        {%- for call in message.tool_calls %}{{ call.function | tojson(indent=1) }}{% endfor %}
    {%- else %}
        {{- ' ' + message.content | trim + eos_token }}
    {%- endif %}
{%- endfor %}"""
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
{% for message in messages %}
{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
OWN = {"phi3": PHI3, "mistral": MISTRAL, "gemma": GEMMA}


def message(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


SYSTEM = message("system", " Be brief. ")
HI = message("user", "  What is 12 × 13?\n")
ANSWER = message("assistant", " 156, naïve 😀\n")
CALL = message(
    "assistant", "", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {"é": 1}}}]
)
RESULT = message("tool", '{"°C": 21}', name="f", tool_call_id="call12345")
THOUGHT = message("assistant", "156", reasoning_content="12 × 13 = 156")
CALLED = message(
    "assistant",
    "Let me see.",
    tool_calls=[
        {"id": f"call1234{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate([("g", {"x": [1, {"y": None}], "s": "a\nb"}), ("f", {})], 4)
    ],
)
THOUGHT_CALL = {**CALL, "reasoning_content": "I need f.", "content": ""}
WITH_TOOLS = [
    [HI, CALL, RESULT],
    [HI, CALL, RESULT, ANSWER],
    [HI, CALL, RESULT, ANSWER, HI],
    [SYSTEM, HI, CALLED, RESULT, {**RESULT, "tool_call_id": "call12344", "name": "g"}, ANSWER, HI],
    [HI, THOUGHT_CALL, RESULT],
    [HI, THOUGHT_CALL, RESULT, THOUGHT, HI],
]
WITH_REASONING = [
    [HI, THOUGHT],
    [HI, THOUGHT, HI],
    [HI, message("assistant", "<think>\n12 × 13\n</think>\n\n156"), HI],
    [SYSTEM, HI, message("assistant", "<think>\n12 × 13\n</think>\n\n156"), HI, ANSWER],
]
SWITCHES: list[dict[str, Any]] = [
    {"enable_thinking": True},
    {"enable_thinking": False},
    {"thinking": True},
    {"keep_past_thinking": True},
    {"reasoning_effort": "high", "model_identity": "You are a test."},
]
PLAIN = [[HI], [HI, ANSWER], [HI, ANSWER, HI], [HI, HI], [HI, CALL]]
WITH_SYSTEM = [[SYSTEM, *messages] for messages in PLAIN]
TOOLS = [
    {"type": "function", "function": {"name": "f", "description": "<é>", "parameters": {"type": "object"}}}
]


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    tokens = [*CONTROL, *bytes_to_unicode().values(), "th", "in"]
    result = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [("t", "h"), ("i", "n")]))
    result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    result.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL])
    return result


@pytest.fixture(scope="module")
def theirs(library: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=library, bos_token="<s>", eos_token="</s>")


def published() -> Sequence[Any]:
    folder = Path(os.environ.get("ZEROPOINT_DATA", "/nonexistent")) / "templates"
    return [pytest.param(path.read_text("utf-8"), id=path.stem) for path in sorted(folder.glob("*.jinja"))]


def rendered(theirs: PreTrainedTokenizerFast, source: str, messages: Any, **options: Any) -> str | None:
    """The text that transformers renders, or None if the template fails."""
    try:
        return str(theirs.apply_chat_template(messages, chat_template=source, tokenize=False, **options))
    except Exception:
        return None


@pytest.mark.parametrize(
    "source", [*(pytest.param(text, id=name) for name, text in OWN.items()), *published()]
)
def test_templates_render_as_in_transformers(source: str, theirs: PreTrainedTokenizerFast) -> None:
    n_rendered = 0
    with ChatTemplate(source, "<s>", "</s>") as template:
        for messages, tools, prompt in itertools.product(PLAIN + WITH_SYSTEM, [None, TOOLS], [True, False]):
            options: dict[str, Any] = {"tools": tools, "add_generation_prompt": prompt}
            expected = rendered(theirs, source, messages, **options)
            notices: list[str] = []
            try:
                text = template.render(messages, notify=notices.append, **options)
            except BadInput:
                text = None
            if not notices:
                assert text == expected
                n_rendered += text is not None
    assert n_rendered


@pytest.mark.parametrize("source", published())
def test_tools_and_reasoning_render_as_in_transformers(source: str, theirs: PreTrainedTokenizerFast) -> None:
    n_rendered = 0
    with ChatTemplate(source, "<s>", "</s>") as template:
        for messages, tools, switch in itertools.product(
            [*WITH_TOOLS, *WITH_REASONING, [HI]], [None, TOOLS], [{}, *SWITCHES]
        ):
            for options in (
                {"tools": tools, "add_generation_prompt": prompt} | switch for prompt in (True, False)
            ):
                expected = rendered(theirs, source, messages, **options)
                notices: list[str] = []
                try:
                    text = template.render(messages, notify=notices.append, **options)
                except BadInput:
                    text = None
                if not notices:
                    assert text == expected
                    n_rendered += text is not None
    assert n_rendered


@pytest.mark.parametrize("source", published())
def test_arguments_may_be_json(source: str, library: Tokenizer) -> None:
    """As in OpenAI's API; most templates read an object, and that of DeepSeek a text."""
    settings = {"bos_token": "<s>", "eos_token": "</s>"}
    metadata = gguf_metadata(json.loads(library.to_str()), settings, {}, library.get_vocab_size())
    ours = load_tokenizer(type("Model", (), {"metadata": metadata})())
    function = CALL["tool_calls"][0]["function"]
    as_json = {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}
    calls = [
        {**CALL, "content": None, "tool_calls": [{"type": "function", "function": f}]}
        for f in (function, as_json)
    ]
    with ChatTemplate(source, "<s>", "</s>") as template:
        ids = []
        for call in calls:
            try:
                ids.append(encode_chat(ours, template, [HI, call], tools=TOOLS))
            except BadInput:
                ids.append([])
    assert ids[0] == ids[1]


def test_reasoning_becomes_a_part_for_mistral(library: Tokenizer) -> None:
    metadata = gguf_metadata(json.loads(library.to_str()), {}, {}, library.get_vocab_size())
    ours = load_tokenizer(type("Model", (), {"metadata": metadata})())
    source = "{% for block in messages[0].content %}{{ block['thinking'] or block['text'] }}|{% endfor %}"
    with ChatTemplate(source) as template:
        assert ours.decode(encode_chat(ours, template, [THOUGHT])) == "12 × 13 = 156|156|"


@pytest.mark.parametrize("name", OWN)
def test_prompts_have_the_ids_of_transformers(
    name: str, library: Tokenizer, theirs: PreTrainedTokenizerFast
) -> None:
    settings = {"bos_token": "<s>", "eos_token": "</s>"}
    metadata = gguf_metadata(json.loads(library.to_str()), settings, {}, library.get_vocab_size())
    ours = load_tokenizer(type("Model", (), {"metadata": metadata})())
    with ChatTemplate(OWN[name], "<s>", "</s>") as template:
        for messages in PLAIN[:3]:
            text = rendered(theirs, OWN[name], messages, add_generation_prompt=True)
            assert encode_chat(ours, template, messages) == theirs(text, add_special_tokens=False).input_ids


def test_a_system_prompt_that_the_template_rejects_is_the_only_difference(
    theirs: PreTrainedTokenizerFast,
) -> None:
    notices: list[str] = []
    with ChatTemplate(GEMMA, "<s>", "</s>") as template:
        text = template.render([message("system", "Be brief."), message("user", "Hi")], notify=notices.append)
    assert rendered(theirs, GEMMA, [SYSTEM, HI]) is None
    assert text == rendered(theirs, GEMMA, [message("user", "Be brief.\n\nHi")], add_generation_prompt=True)
    assert len(notices) == 1
