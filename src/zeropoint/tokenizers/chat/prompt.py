"""Encode a conversation so that only the chat template can produce control tokens.

A message that spells `<|im_end|>` must not end the turn. Locating the messages in the rendered text would not
work, because templates trim, slice, split, quote and test their input. Instead, a mark (a private-use
character that occurs nowhere else) is inserted after the first character of every control token that a
message spells. The same is done for a fragment of one that the template could complete: at either end of a
content, or when the fragment is the entire content. Whichever parts of a message the template emits, every
control token in them carries a mark, so those without a mark are the template's own. The text between those
is encoded as plain text with the marks removed, which gives the ids of the original message.

Messages without control tokens are rendered unchanged, and their ids equal those of transformers'
`apply_chat_template`, which however omits BOS if the template does not write it. A template that searches a
message for a control token (`'<|im_end|>' in content`) does not find it; this is intended. A template that
measures such a message sees one extra character.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.message_forms import with_arguments, with_thinking_part
from zeropoint.tokenizers.chat.system_prompt import TemplateFailedError
from zeropoint.tokenizers.chat.template import ChatTemplate, check_messages, to_json
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.core.tokenizer import Tokenizer

_PRIVATE_USE = range(0xE000, 0xF900)
_MAX_PASSES = 32  # control tokens that overlap at one place; published ones never overlap
_READS_PARTS = re.compile(r"\bfor\s+\w+\s+in\s[^%}]*\bcontent\b")
_CONTENT_KEYS = ("content", "text")  # templates concatenate these values with their own text


def encode_chat(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = True,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    notify: Callable[[str], None] | None = None,
    **kwargs: Any,
) -> list[int]:
    """Token ids of the rendered conversation. Arguments as in `ChatTemplate.render`. Raises BadInput.

    They begin with BOS if the tokenizer adds it to documents, once even if the template writes it too.
    Text parts, as in OpenAI's API, become one text, a line each, for a template that does not read parts. The
    arguments of a tool call may be an object or its JSON; `reasoning_content` becomes a part for a template
    that reads reasoning there.
    """
    check_messages(messages)
    messages = [with_thinking_part(message, template.source) for message in messages]
    if not _READS_PARTS.search(template.source):
        messages = [_with_text(message, index) for index, message in enumerate(messages)]
    messages = [with_arguments(message, as_text=False) for message in messages]
    body = to_json(([dict(message) for message in messages], tools, kwargs))
    try:
        inputs = json.loads(body)  # a copy that consists of dict, list, str and numbers
        mark = _unused_character(inputs, template.source)
        marker = _Marker(tokenizer, mark)
        marked, marked_tools, marked_kwargs = (marker.mark(value) for value in inputs)
    except RecursionError:
        raise BadInput("the messages are nested too deeply; flatten them") from None
    for message, marked_message in zip(messages, marked, strict=True):
        marked_message["role"] = message["role"]  # already validated; templates build control tokens from it
    options = {"add_generation_prompt": add_generation_prompt, "tools": marked_tools, **marked_kwargs}
    try:
        text = template.render(marked, notify=notify, **options)
    except TemplateFailedError:
        as_text = [with_arguments(message, as_text=True) for message in marked]
        if as_text == marked:
            raise
        text = template.render(as_text, notify=notify, **options)  # DeepSeek's writes the arguments verbatim
    if marker.used:
        escaped = json.dumps(mark)[1:-1]  # the form that tojson(ensure_ascii=true) writes
        ids = _encode_marked(tokenizer, text.replace(escaped, mark), mark)
    else:
        ids = tokenizer.encode(text, parse_special=True)
    if tokenizer.add_bos and tokenizer.bos_id is not None and ids[:1] != [tokenizer.bos_id]:
        ids.insert(0, tokenizer.bos_id)
    return ids


def _with_text(message: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    """The message with a list of text parts joined. Raises BadInput for an image or another kind of part."""
    parts = message.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) and "type" in part for part in parts):
        return message
    for part in parts:
        if part["type"] != "text":
            kind = printable(str(part["type"]), 60)
            raise BadInput(f"message {index} has a part of the type {kind}; this model reads only text")
        if not isinstance(part.get("text"), str):
            raise BadInput(f"message {index}: the `text` of a text part must be a string")
    return {**message, "content": "\n".join(part["text"] for part in parts)}


def _encode_marked(tokenizer: Tokenizer, text: str, mark: str) -> list[int]:
    """Ids of a rendered text: unmarked control tokens, and plain text between them."""
    ids: list[int] = []
    start = 0
    for begin, end, control in [*tokenizer.control_spans(text), (len(text), len(text), None)]:
        plain = text[start:begin].replace(mark, "")
        ids += tokenizer.encode(plain, is_continuation=start > 0 and not tokenizer.space_after_special)
        if control is not None:
            ids.append(control)
        start = end
    return ids


class _Marker:
    """Marks the control tokens in all strings of nested lists and objects."""

    def __init__(self, tokenizer: Tokenizer, mark: str) -> None:
        self._tokenizer = tokenizer
        self._mark = mark
        self._control_tokens = tokenizer.control_tokens
        self._max_length = max(map(len, self._control_tokens), default=0)
        self.used = False

    def mark(self, value: Any, is_content: bool = False) -> Any:
        """A copy of JSON-like data with every control token in its strings marked."""
        if isinstance(value, str):
            return self._mark_text(value, is_content)
        if isinstance(value, dict):
            return {self._mark_text(k, False): self.mark(v, k in _CONTENT_KEYS) for k, v in value.items()}
        if isinstance(value, list):
            return [self.mark(item, is_content) for item in value]
        return value

    def _mark_text(self, text: str, is_content: bool) -> str:
        marked = text
        for _ in range(_MAX_PASSES):  # repeat for overlapping tokens
            positions = self._tokenizer.control_interiors(marked)
            if not positions:
                break
            marked = self._insert(marked, positions)
        else:
            raise BadInput(
                "a message spells a control token that cannot be told from the template's; remove it"
            )
        if is_content and marked:
            marked = self._insert(marked, self._fragments(marked))
        self.used |= marked != text
        return marked

    def _fragments(self, text: str) -> set[int]:
        """Positions within fragments of control tokens that adjacent text could complete."""
        positions = set()
        if len(text) < self._max_length and any(text in token for token in self._control_tokens):
            positions.add(1)
        head, tail = text[: self._max_length], text[-self._max_length :]
        for token in self._control_tokens:
            for length in range(2, min(len(token), len(text) + 1)):
                if tail.endswith(token[:length]):
                    positions.add(len(text) - length + 1)
                if head.startswith(token[-length:]):
                    positions.add(1)
        return positions

    def _insert(self, text: str, positions: set[int]) -> str:
        bounds = [0, *sorted(positions), len(text)]
        return self._mark.join(text[begin:end] for begin, end in itertools.pairwise(bounds))


def _unused_character(inputs: Any, source: str) -> str:
    """A private-use character absent from the messages and the template, verbatim and escaped."""
    texts = [source, json.dumps(inputs, ensure_ascii=False)]
    used = set().union(*texts)
    for code in _PRIVATE_USE:
        if chr(code) not in used and not any(f"\\u{code:04x}" in text for text in texts):
            return chr(code)
    raise BadInput("the messages use every private-use character of Unicode; remove some")
