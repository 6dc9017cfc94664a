"""A conversation to token ids, where only the template can write control tokens.

A message that spells `<|im_end|>` must not end the turn. Cutting the rendered text at the messages would
not do: templates trim, slice, split, quote and test what they are given. So every control token that a
message spells gets a mark, a private-use character that occurs nowhere else, *inside* it (after its first
character), and so does a piece of one where a template could join it with another: at either end of a
content, or the whole of it. Whatever part of a message comes out of the template, no control token in it
is without a mark, so those without are the template's own. The text between those is encoded as plain
text, marks taken out: the ids are those of the message as it was written.

Messages that spell no control token are rendered untouched, and their ids are those of transformers'
`apply_chat_template`. A template that tests a message for a control token (`'<|im_end|>' in content`)
does not find it: that is meant. One that measures such a message finds it a character longer.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.template import ChatTemplate, check_messages
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.core.tokenizer import Tokenizer

_PRIVATE_USE = range(0xE000, 0xF900)
_CONTENT = ("content", "text")  # where the words are; templates join them with their own


def encode_chat(
    tokenizer: Tokenizer,
    template: ChatTemplate,
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = True,
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **kwargs: Any,
) -> list[int]:
    """Token ids of the rendered conversation; bos is in them where the template writes it.

    Arguments as in `ChatTemplate.render`. Raises BadInput.
    """
    check_messages(messages)
    given = _plain_json([dict(message) for message in messages], tools, kwargs)
    mark = _unused_character(given, template.source)
    marker = _Marker(tokenizer, mark)
    try:
        marked, marked_tools, marked_kwargs = (marker.mark(value) for value in given)
    except RecursionError:
        raise BadInput("the messages are nested too deep") from None
    for message, changed in zip(messages, marked, strict=True):
        changed["role"] = message["role"]  # one of ours, checked; templates build control tokens from it
    text = template.render(
        marked, add_generation_prompt=add_generation_prompt, tools=marked_tools, **marked_kwargs
    )
    if not marker.used:
        return tokenizer.encode(text, specials=True)
    escaped = json.dumps(mark)[1:-1]  # as tojson(ensure_ascii=true) writes it
    return _encode_marked(tokenizer, text.replace(escaped, mark), mark)


def _encode_marked(tokenizer: Tokenizer, text: str, mark: str) -> list[int]:
    """Ids of a rendered text: the control tokens without a mark, and between them plain text."""
    ids: list[int] = []
    start = 0
    for begin, end, control in [*tokenizer.control_spans(text), (len(text), len(text), None)]:
        plain = text[start:begin].replace(mark, "")
        ids += tokenizer.encode(plain, inside=start > 0 and not tokenizer.restarts)
        if control is not None:
            ids.append(control)
        start = end
    return ids


class _Marker:
    """Marks the control tokens in strings, however deep in lists and objects."""

    def __init__(self, tokenizer: Tokenizer, mark: str) -> None:
        self._tokenizer = tokenizer
        self._mark = mark
        self._texts = tokenizer.control_texts
        self._longest = max(map(len, self._texts), default=0)
        self.used = False

    def mark(self, value: Any, is_content: bool = False) -> Any:
        """A copy of JSON-like data with every control token in its strings marked."""
        if isinstance(value, str):
            return self._mark_text(value, is_content)
        if isinstance(value, dict):
            return {self._mark_text(k, False): self.mark(v, k in _CONTENT) for k, v in value.items()}
        if isinstance(value, list):
            return [self.mark(item, is_content) for item in value]
        return value

    def _mark_text(self, text: str, is_content: bool) -> str:
        marked = text
        while spans := self._tokenizer.control_spans(marked):  # again, for tokens that overlapped those
            marked = self._insert(marked, {start + 1 for start, _, _ in spans})
        if is_content and marked:
            marked = self._insert(marked, self._pieces(marked))
        self.used |= marked != text
        return marked

    def _pieces(self, text: str) -> set[int]:
        """Places inside what a token of the template's, or of the next content, could be completed with."""
        places = set()
        if len(text) < self._longest and any(text in token for token in self._texts):
            places.add(1)
        head, tail = text[: self._longest], text[-self._longest :]
        for token in self._texts:
            for length in range(2, min(len(token), len(text) + 1)):
                if tail.endswith(token[:length]):
                    places.add(len(text) - length + 1)
                if head.startswith(token[-length:]):
                    places.add(1)
        return places

    def _insert(self, text: str, places: set[int]) -> str:
        cuts = [0, *sorted(places), len(text)]
        return self._mark.join(text[a:b] for a, b in itertools.pairwise(cuts))


def _plain_json(*values: Any) -> Any:
    """A copy made of dict, list, str and numbers only. Raises BadInput where that cannot be."""
    try:
        text = json.dumps(values, ensure_ascii=False)
        text.encode()
        return json.loads(text)
    except UnicodeEncodeError:
        raise BadInput("a message has a lone surrogate; give text that is valid Unicode") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"the messages are not plain JSON values ({printable(str(error), 100)})") from None


def _unused_character(given: Any, source: str) -> str:
    """A private-use character that neither the messages nor the template hold, as such or escaped."""
    texts = [source, json.dumps(given, ensure_ascii=False)]
    seen = set().union(*texts)
    for code in _PRIVATE_USE:
        if chr(code) not in seen and not any(f"\\u{code:04x}" in text for text in texts):
            return chr(code)
    raise BadInput("the messages use every private-use character of Unicode; take some out")
