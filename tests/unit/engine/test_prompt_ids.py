"""Prompts: refused early if they are far too long, and what happens to a system prompt without a place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zeropoint.engine.session import prompt_ids
from zeropoint.engine.session.chat import Conversation
from zeropoint.engine.session.load import load
from zeropoint.engine.session.model import Model
from zeropoint.errors import BadInput, ContextFull
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.chat.system_prompt import MERGED_NOTICE
from zeropoint.tokenizers.chat.template import ChatTemplate
from zeropoint.tokenizers.core.tokenizer import Tokenizer

NO_SYSTEM = (
    "{% for m in messages if m.role in ('user', 'assistant') %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tiny_model(tiny_path: Path) -> Iterator[Model]:
    """A tiny model with a context of 256 tokens and a template that ignores system messages."""
    with load(tiny_path) as model:
        model.template = ChatTemplate(NO_SYSTEM)
        yield model


@pytest.fixture
def n_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of characters that the tokenizer encodes."""
    lengths: list[int] = []
    encode_chunk = Tokenizer._encode_chunk

    def counted(self: Tokenizer, text: str, *args: Any) -> list[int]:
        lengths.append(len(text))
        return encode_chunk(self, text, *args)

    monkeypatch.setattr(Tokenizer, "_encode_chunk", counted)
    return lengths


def as_chat(model: Model, text: str) -> object:
    return model.chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}])


def as_parts(model: Model, text: str) -> object:
    return model.encode_chat([{"role": "user", "content": [{"type": "text", "text": text}]}])


@pytest.mark.parametrize(
    "use",
    [
        *(Model.generate, Model.score, Model.logits, Model.trace, Model.chat, as_chat, as_parts),
        lambda model, text: Conversation(model).ask(text),
    ],
)
def test_a_text_far_longer_than_the_context_is_not_read_to_its_end(
    use: Callable[[Model, str], object], tiny_model: Model, n_read: list[int]
) -> None:
    text = "ab c" * (prompt_ids.COUNTED_CHARS)
    with pytest.raises(ContextFull, match=r"at least \d+ tokens and the context holds 256"):
        use(tiny_model, text)
    assert sum(n_read) < len(text) // 8


def test_a_shorter_text_is_counted_exactly(tiny_model: Model) -> None:
    with pytest.raises(ContextFull, match="the text has 300 tokens and the context holds 256"):
        tiny_model.trace("d" * 300)
    with pytest.raises(ContextFull, match=r"the prompt has 3\d\d tokens and the context holds 256"):
        tiny_model.chat("d" * 300)


def test_invalid_messages_are_rejected_before_they_are_counted(tiny_model: Model) -> None:
    for messages in ([], None, [3], [{"role": "user", "content": 3}], 7):
        with pytest.raises(BadInput):
            tiny_model.encode_chat(messages)  # type: ignore[arg-type]


def test_a_long_earlier_turn_is_dropped(tiny_model: Model) -> None:
    conversation = Conversation(tiny_model)
    conversation.turns = [
        {"role": "user", "content": "d" * (prompt_ids.COUNTED_CHARS + 1)},
        {"role": "assistant", "content": "ok"},
    ]
    answer = conversation.ask("hi", SamplingParams.of(max_tokens=1))
    answer.close()
    assert answer.notices == ["the context of 256 tokens is full; dropped the oldest question and its answer"]


def test_a_chat_reports_a_merged_system_prompt(tiny_model: Model) -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    stream = tiny_model.chat(messages, max_tokens=1)
    stream.close()
    assert stream.notices == [MERGED_NOTICE]
    ids = tiny_model.encode_chat([{"role": "user", "content": "be kind\n\nhi"}])
    assert tiny_model.encode_chat(messages) == ids


def test_a_conversation_reports_a_merged_system_prompt_once_and_keeps_its_cache(tiny_model: Model) -> None:
    conversation = Conversation(tiny_model, "be kind")
    params = SamplingParams.of(max_tokens=8, temperature=0)
    first = conversation.ask("hi", params)
    first.text()
    assert first.notices[:1] == [MERGED_NOTICE]
    n_prompt = len(tiny_model.encode_chat([*conversation.messages[:2]]))
    second = conversation.ask("more", params)
    second.text()
    assert MERGED_NOTICE not in second.notices
    assert second.usage.cached_tokens >= n_prompt - 1
    assert conversation.messages[0] == {"role": "system", "content": "be kind"}
