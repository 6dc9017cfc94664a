"""Read what a model is tuned on: JSON, one object per line, in the layouts that are common.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    {"prompt": "...", "completion": "..."}
    {"instruction": "...", "input": "...", "output": "..."}                 Alpaca; `input` is optional
    {"prompt": "...", "chosen": "...", "rejected": "..."}                   for objectives of pairs
    {"prompt": "...", "completion": "...", "label": true}                   for KTO

A prompt or answer may be a list of messages too. Every problem names its line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.files.paths import display_path
from zeropoint.files.regular_file import open_regular
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["Example", "read_examples"]

Messages = tuple[Mapping[str, Any], ...]
_ROLES = ("system", "user", "assistant")
_MAX_LINE_BYTES = 16 << 20
_LAYOUTS = {
    "answers": "`messages`, or `prompt` and `completion`, or `instruction` and `output`",
    "pairs": "`prompt`, `chosen` and `rejected`",
    "labels": "`prompt`, `completion` and `label`",
}


@dataclass(frozen=True)
class Example:
    """One line: a conversation that ends with an answer; of a pair, (chosen, rejected).

    learns_all: every answer of the conversation is learned, not only the last one. is_good: its label.
    """

    line: int
    conversations: tuple[Messages, ...]
    learns_all: bool = False
    is_good: bool = True


def read_examples(path: Path, data: str = "answers") -> list[Example]:
    """The examples of a file. data: "answers", "pairs" or "labels" (`TuningObjective.data`).

    Raises BadInput that names the line of the first problem, and how many lines have one.
    """
    examples, problems = [], []
    shown = display_path(path)
    if path.suffix.lower() not in (".jsonl", ".json", ".ndjson"):
        raise BadInput(f"{shown}: the data must be a file of JSON lines whose name ends in .jsonl")
    try:
        with open_regular(path) as file:
            # A line is read up to its limit, so that one without an end does not fill the memory.
            lines = iter(lambda: file.readline(_MAX_LINE_BYTES + 1), b"")
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                if len(line) > _MAX_LINE_BYTES:
                    raise BadInput(
                        f"{shown}: line {number} is longer than {_MAX_LINE_BYTES >> 20} MiB; split it"
                    )
                try:
                    examples.append(_example(number, line, data))
                except BadInput as error:
                    problems.append((number, str(error)))
    except FileNotFoundError:
        raise BadInput(f"{shown} does not exist; give a file of JSON lines") from None
    except OSError as error:
        raise BadInput(f"{shown} cannot be read: {error.strerror}") from None
    if problems:
        number, sentence = problems[0]
        others = [str(number) for number, _ in problems[1:]]
        more = f"; lines with problems after it: {len(others)} ({', '.join(others[:8])})" if others else ""
        raise BadInput(f"{shown}: line {number}: {sentence}{more}")
    if not examples:
        raise BadInput(f"{shown} has no examples; give one JSON object per line")
    return examples


def _example(number: int, line: bytes, data: str) -> Example:
    """The example of a line. Raises BadInput without the line's number."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", type(error).__name__)
        raise BadInput(f"this is not JSON ({reason}); each line must be one object") from None
    if not isinstance(record, dict):
        raise BadInput(f"a {type(record).__name__} instead of an object; write {_LAYOUTS[data]}")
    if data == "pairs":
        answers = [_with_prompt(record, key) for key in ("chosen", "rejected")]
        if answers[0] == answers[1]:
            raise BadInput("`chosen` and `rejected` are the same; leave the pair out")
        return Example(number, (answers[0], answers[1]))
    if data == "labels":
        if not isinstance(record.get("label"), bool):
            raise BadInput("`label` must be true (good) or false (bad)")
        return Example(number, (_with_prompt(record, "completion"),), is_good=record["label"])
    if "messages" in record:
        return Example(number, (_checked_messages(record["messages"], "messages"),), learns_all=True)
    if "instruction" in record and "output" in record:
        asked, given = _text(record, "instruction"), _text(record, "input") if record.get("input") else ""
        question = f"{asked}\n\n{given}" if given else asked
        return Example(number, (_turn(question, _text(record, "output")),))
    if "prompt" in record and "completion" in record:
        return Example(number, (_with_prompt(record, "completion"),))
    found = ", ".join(f"`{key}`" for key in list(record)[:5]) or "nothing"
    raise BadInput(f"found {found}; write {_LAYOUTS[data]}")


def _with_prompt(record: Mapping[str, Any], key: str) -> Messages:
    """The prompt and the answer `key` as one conversation."""
    for needed in ("prompt", key):
        if needed not in record:
            raise BadInput(
                f"`{needed}` is missing; write {_LAYOUTS['pairs' if key != 'completion' else 'labels']}"
            )
    prompt, answer = record["prompt"], record[key]
    if isinstance(prompt, str):
        _text(record, "prompt")
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(answer, str):
        answer = [{"role": "assistant", "content": _text(record, key)}]
    if not isinstance(prompt, list) or not isinstance(answer, list):
        raise BadInput(f"`prompt` and `{key}` must be text or lists of messages")
    return _checked_messages([*prompt, *answer], key)


def _checked_messages(messages: Any, key: str) -> Messages:
    """The messages up to the last answer. Raises BadInput unless they are such, with an answer at the end."""
    if not isinstance(messages, list) or not messages:
        raise BadInput(f"`{key}` must be a list of messages with `role` and `content`")
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise BadInput(f"`{key}[{i}].role` must be one of {', '.join(_ROLES)}")
        if not isinstance(message.get("content"), str):
            raise BadInput(f"`{key}[{i}].content` must be text")
        check_unicode(message["content"], f"`{key}[{i}].content`")
    last = messages[-1]
    if last["role"] != "assistant" or not last["content"].strip():
        raise BadInput(f"`{key}` must end with an answer of the assistant that is not empty")
    return tuple({"role": m["role"], "content": m["content"]} for m in messages)


def _turn(question: str, answer: str) -> Messages:
    user = {"role": "user", "content": question}
    return _checked_messages([user, {"role": "assistant", "content": answer}], "output")


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"`{key}` must be text that is not empty")
    return value
