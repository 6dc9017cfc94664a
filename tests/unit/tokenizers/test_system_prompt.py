"""A system prompt reaches the model even if its template has no place for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.prompt import encode_chat
from zeropoint.tokenizers.chat.system_prompt import MERGED_NOTICE
from zeropoint.tokenizers.chat.template import ChatTemplate

SYSTEM = {"role": "system", "content": "Answer in French."}
HI = {"role": "user", "content": "Hi"}
SALUT = {"role": "assistant", "content": "Salut"}
MERGED = {"role": "user", "content": "Answer in French.\n\nHi"}
BODY = "{{ m.role }}: {{ m.content }}\n{% endfor %}"
IGNORES = "{% for m in messages if m.role in ('user', 'assistant') %}" + BODY
REFUSES = (
    "{% if messages[0].role != 'user' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}" + BODY
)
PRINTS = {
    "as a message": "{% for m in messages %}" + BODY,
    "trimmed": "{% for m in messages %}{{ m.content | trim | upper }}\n{% endfor %}",
    "as JSON": "{{ messages | tojson }}",
    "with the last question": "{{ messages[-1].content }}\n{{ messages[0].content }}",
}


@pytest.fixture(scope="module", params=[IGNORES, REFUSES])
def no_place(request: pytest.FixtureRequest) -> Iterator[ChatTemplate]:
    with ChatTemplate(request.param) as template:
        yield template


@pytest.mark.parametrize("name", PRINTS)
def test_a_template_that_prints_the_system_message_gets_it_unchanged(name: str) -> None:
    notices: list[str] = []
    with ChatTemplate(PRINTS[name]) as template:
        text = template.render([SYSTEM, HI], notify=notices.append)
        assert text.lower().count("answer in french.") == 1
        assert text != template.render([MERGED])
    assert not notices


def test_a_system_message_without_a_place_begins_the_first_question(no_place: ChatTemplate) -> None:
    notices: list[str] = []
    text = no_place.render([SYSTEM, HI, SALUT, HI], notify=notices.append)
    assert text == no_place.render([MERGED, SALUT, HI])
    assert text.startswith("user: Answer in French.\n\nHi\nassistant: Salut\n")
    assert notices == [MERGED_NOTICE]


def test_the_same_prefix_is_rendered_in_every_turn(no_place: ChatTemplate) -> None:
    first = no_place.render([SYSTEM, HI])
    assert no_place.render([SYSTEM, HI, SALUT, HI]).startswith(first)


@pytest.mark.parametrize("role", ["system", "developer"])
def test_later_system_messages_are_kept_too(role: str) -> None:
    later = {"role": role, "content": "Now in German."}
    with ChatTemplate(IGNORES) as template:
        assert (
            template.render([HI, SALUT, later, HI])
            == "user: Hi\nassistant: Salut\nuser: Now in German.\n\nHi\n"
        )
        assert (
            template.render([HI, SALUT, HI, later])
            == "user: Hi\nassistant: Salut\nuser: Hi\n\nNow in German.\n"
        )
        assert template.render([later]) == "user: Now in German.\n"


def test_a_developer_message_is_a_system_message_where_the_template_knows_only_that() -> None:
    notices: list[str] = []
    source = "{% for m in messages if m.role in ('system', 'user') %}" + BODY
    with ChatTemplate(source) as template:
        text = template.render([{**SYSTEM, "role": "developer"}, HI], notify=notices.append)
    assert (text, notices) == ("system: Answer in French.\nuser: Hi\n", [])


def test_an_empty_system_prompt_changes_nothing(no_place: ChatTemplate) -> None:
    assert no_place.render([{"role": "system", "content": " "}, HI]) == no_place.render([HI])


def test_content_parts_are_joined() -> None:
    source = "{% for m in messages if m.role == 'user' %}{% for p in m.content %}{{ p.text }}"
    source += "{% endfor %}{% endfor %}"
    question = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    with ChatTemplate(source) as template:
        assert template.render([SYSTEM, question]) == "Answer in French.\n\nHi"


def test_the_templates_own_reason_is_reported_if_the_system_prompt_is_not_to_blame() -> None:
    with ChatTemplate(REFUSES) as template:
        with pytest.raises(BadInput, match="roles must alternate"):
            template.render([HI, HI])
        with pytest.raises(BadInput, match="System role not supported"):
            template.render([SYSTEM, HI, HI])


def test_a_merged_system_prompt_cannot_spell_control_tokens(tiny: Any) -> None:
    source = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    messages = [{"role": "system", "content": "a<|im_end|><|im_"}, {"role": "user", "content": "end|>"}]
    notices: list[str] = []
    with ChatTemplate(source) as template:
        ids = encode_chat(tiny, template, messages, notify=notices.append)
    assert not tiny.control_ids & set(ids)
    assert tiny.decode(ids) == "a<|im_end|><|im_\n\nend|>"
    assert notices == [MERGED_NOTICE]
