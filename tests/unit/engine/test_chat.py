"""Conversations with a scripted model: turns, retry, a full context, saved files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.engine.session.chat import Conversation
from zeropoint.errors import BadInput, ContextFull, DiskError
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, Text


class ScriptedStream:
    """Answers "re: QUESTION" word by word."""

    finish_reason = "stop"
    usage = timings = None
    reasoning = "hm"

    def __init__(self, text: str) -> None:
        self.pieces = text.split(" ")
        self.notices: list[str] = []
        self.is_closed = False

    def events(self) -> Iterator[ReplyEvent]:
        yield Reasoning("hm")
        for piece in self.pieces:
            if self.is_closed:
                return
            yield Text(piece + " ")

    def close(self) -> None:
        self.is_closed = True


class ScriptedModel:
    """Counts a word as a token, and the role of each message as one more."""

    def __init__(self, n_ctx: int = 1000) -> None:
        self.engine = self.blueprint = SimpleNamespace(n_ctx=n_ctx)
        self.asked: list[list[dict[str, str]]] = []
        self.params: dict[str, Any] = {}

    def chat(
        self,
        messages: list[dict[str, str]],
        params: SamplingParams,
        thinking: bool | None = None,
        **logprobs: Any,
    ) -> ScriptedStream:
        self.thinking = thinking
        self.logprob_arguments = logprobs
        self.asked.append(messages)
        self.params = params.flat()
        return ScriptedStream(f"re: {messages[-1]['content']}")

    def encode_chat(self, messages: list[dict[str, str]], thinking: bool | None = None) -> list[int]:
        return [0] * count(messages)

    def save_cache(self, ids: list[int], path: Path) -> None:
        path.write_text(str(len(ids)))

    def load_cache(self, path: Path) -> None:
        if path.read_text() == "damaged":
            raise BadInput("it is damaged")


def count(messages: list[dict[str, str]]) -> int:
    return sum(1 + len(message["content"].split()) for message in messages)


def start(n_ctx: int = 1000, system: str | None = None) -> Conversation:
    return Conversation(ScriptedModel(n_ctx), system, count=count)  # type: ignore[arg-type]


def roles(conversation: Conversation) -> list[str]:
    return [message["role"] for message in conversation.messages]


def test_a_turn_joins_when_its_answer_ends() -> None:
    conversation = start(system="be kind")
    answer = conversation.ask("hello", SamplingParams.of(temperature=0.5))
    assert roles(conversation) == ["system"]
    assert answer.text() == "re: hello "
    assert conversation.messages[1:] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "re: hello "},
    ]
    assert conversation.model.params == {"temperature": 0.5}  # type: ignore[attr-defined]
    conversation.ask("again").text()
    assert roles(conversation) == ["system", "user", "assistant", "user", "assistant"]


def test_logprobs_are_passed_on_and_the_text_is_complete_after_iterating() -> None:
    model = ScriptedModel()
    answer = Conversation(model).ask("one", top_logprobs=3)  # type: ignore[arg-type]
    pieces = list(answer)
    assert answer.text() == "".join(pieces) == "re: one "
    assert model.logprob_arguments == {"logprobs": False, "top_logprobs": 3, "guide": None}


def test_a_stopped_answer_keeps_its_text_so_far() -> None:
    conversation = start()
    answer = conversation.ask("hello")
    assert next(iter(answer)) == "re: "
    answer.close()
    answer.close()
    assert conversation.messages[-1]["content"] == "re: "
    assert len(conversation.turns) == 2


def test_asking_again_stops_a_running_answer() -> None:
    conversation = start()
    first = conversation.ask("one")
    next(iter(first))
    conversation.ask("two").text()
    assert [m["content"] for m in conversation.messages] == ["one", "re: ", "two", "re: two "]


def test_an_answer_stopped_before_any_text_adds_no_turn_but_can_be_retried() -> None:
    conversation = start()
    conversation.ask("one").text()
    conversation.ask("two").close()
    assert len(conversation.turns) == 2
    conversation.retry().text()
    assert [m["content"] for m in conversation.messages[::2]] == ["one", "two"]


def test_retry_replaces_the_last_answer() -> None:
    conversation = start()
    conversation.ask("one").text()
    conversation.ask("two").text()
    conversation.retry(SamplingParams.of(seed=3)).text()
    assert [m["content"] for m in conversation.messages[::2]] == ["one", "two"]
    assert conversation.model.params == {"seed": 3}  # type: ignore[attr-defined]


def test_retry_needs_a_question() -> None:
    conversation = start()
    with pytest.raises(BadInput, match="nothing to retry"):
        conversation.retry()
    conversation.ask("one").text()
    conversation.reset()
    with pytest.raises(BadInput, match="nothing to retry"):
        conversation.retry()


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        start().ask(" \n")


def test_reset_keeps_the_system_prompt() -> None:
    conversation = start(system="be kind")
    conversation.ask("one").text()
    conversation.reset()
    assert roles(conversation) == ["system"]


def test_a_full_context_drops_the_oldest_turn_with_a_notice() -> None:
    conversation = start(n_ctx=24, system="be kind")  # 3 words; each turn below has 5; a quarter is 6
    for question in ("one", "two", "three"):
        answer = conversation.ask(question)
        assert (answer.notices, answer.text()) == ([], f"re: {question} ")
    answer = conversation.ask("four")
    assert answer.notices == ["the context of 24 tokens is full; dropped the oldest question and its answer"]
    assert [m["content"] for m in conversation.model.asked[-1]][:2] == ["be kind", "two"]  # type: ignore[attr-defined]
    answer.text()
    assert [m["content"] for m in conversation.messages[1::2]] == ["two", "three", "four"]


def test_a_long_question_drops_several_turns() -> None:
    conversation = start(n_ctx=40)
    for question in ("one", "two", "three"):
        conversation.ask(question).text()
    answer = conversation.ask("word " * 25)
    assert "dropped the 3 oldest turns" in answer.notices[0]


def test_a_question_that_does_not_fit_is_refused_with_both_numbers() -> None:
    conversation = start(n_ctx=20, system="be kind")
    conversation.ask("one").text()
    with pytest.raises(ContextFull, match="system prompt have 34 tokens and the context holds 20"):
        conversation.ask("word " * 30)
    assert roles(conversation) == ["system", "user", "assistant"]


def test_a_question_that_leaves_little_room_is_accepted() -> None:
    assert start(n_ctx=20).ask("word " * 17).text().startswith("re: word")


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    conversation = start(system="be kind")
    conversation.ask("über\x1b").text()
    conversation.save(path)
    conversation.save(path)
    other = start()
    assert other.load(path) == []
    assert other.messages == conversation.messages
    assert other.system == "be kind"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chat.json", "chat.json.kv"]
    (tmp_path / "chat.json.kv").write_text("damaged")
    assert other.load(path) == [
        "the saved KV cache is not used and the conversation will be read again: it is damaged"
    ]
    assert other.messages == conversation.messages


def saved_json(**changed: Any) -> str:
    good = {
        "format": "zeropoint-conversation",
        "version": 1,
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    }
    return json.dumps(good | changed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "`format`"),
        (saved_json(format="x"), "`format`"),
        (saved_json(version=2), "`version` must be 1"),
        (saved_json(messages=None), "`messages` is not a list"),
        (saved_json(messages=[{"role": "user", "content": "a"}]), "no answer"),
        (saved_json(messages=[1, 2]), r"messages\[0\].role"),
        (
            saved_json(messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]),
            r"\[1\].role",
        ),
        (saved_json(messages=[{"role": "system", "content": None}]), r"messages\[0\].content"),
    ],
)
def test_a_damaged_file_is_refused_and_changes_nothing(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    conversation = start()
    conversation.ask("one").text()
    with pytest.raises(BadInput, match=message) as caught:
        conversation.load(path)
    assert "bad.json" in str(caught.value)
    assert len(conversation.turns) == 2
    with pytest.raises(BadInput, match="is not a saved conversation"):
        conversation.save(path)
    assert path.read_text() == content


def test_missing_and_unwritable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file"):
        start().load(tmp_path / "none.json")
    with pytest.raises(BadInput, match="is a folder"):
        start().load(tmp_path)
    with pytest.raises(BadInput, match="there is no folder"):
        start().save(tmp_path / "none" / "x.json")
    conversation = start(system="\ud800")
    with pytest.raises(DiskError, match="cannot write"):
        conversation.save(tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_reasoning_is_separate_from_the_answer_and_not_sent_back() -> None:
    model = ScriptedModel()
    conversation = Conversation(model, thinking=True, count=count)  # type: ignore[arg-type]
    answer = conversation.ask("one")
    assert [type(event) for event in answer.events()] == [Reasoning, Text, Text]
    assert (answer.reasoning, answer.text()) == ("hm", "re: one ")
    conversation.ask("two").text()
    assert model.thinking is True
    assert [message["content"] for message in model.asked[-1]] == ["one", "re: one ", "two"]
