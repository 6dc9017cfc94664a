"""Gemma 4: a name and arguments in a notation of its own between `<|tool_call>` and `<tool_call|>`."""

from __future__ import annotations

import re
from typing import Any

from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, dump, load

__all__ = ["Gemma4Format"]

_OPEN, _QUOTE = "<|tool_call>", '<|"|>'
_KEY = re.compile(r"\s*([^\s{}\[\],:]+)\s*:")
_LITERAL = re.compile(r"[^\s{}\[\],]+")
_SPACE = re.compile(r"\s*")
_MAX_DEPTH = 64


class Gemma4Format(ToolFormat):
    """<|tool_call>call:f{x:1,y:<|"|>a<|"|>}<tool_call|>, once for each call."""

    opens = (_OPEN,)
    closes = ("<tool_call|>",)
    inner = (_QUOTE,)

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template or a vocabulary with the tag."""
        return _OPEN in clues.template or clues.has_token(_OPEN)

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The one call."""
        head, brace, _ = body.partition("{")
        name = head.strip().removeprefix("call:").strip()
        if not brace or not head.strip().startswith("call:") or not name:
            raise ValueError("no call")
        reader = _Reader(body, len(head))
        arguments = reader.value(0)
        if body[reader.at :].strip():
            raise ValueError("text after the call")
        return [Call(name, dump(arguments))]


class _Reader:
    """Reads one value of the notation: JSON with unquoted keys and strings between special tokens."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def value(self, depth: int) -> Any:
        """The value at the current place. Raises ValueError."""
        if depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        self._skip_space()
        if self.text.startswith(_QUOTE, self.at):
            return self._string()
        if self._take("{"):
            return dict(self._items("}", depth))
        if self._take("["):
            return [value for _, value in self._items("]", depth)]
        match = _LITERAL.match(self.text, self.at)
        if match is None:
            raise ValueError("no value")
        self.at = match.end()
        try:
            return load(match[0])
        except ValueError:
            return match[0]

    def _items(self, end: str, depth: int) -> list[tuple[str, Any]]:
        items: list[tuple[str, Any]] = []
        self._skip_space()
        while not self._take(end):
            if items and not self._take(","):
                raise ValueError("no comma")
            items.append((self._key() if end == "}" else "", self.value(depth + 1)))
            self._skip_space()
        return items

    def _key(self) -> str:
        self._skip_space()
        if self.text.startswith(_QUOTE, self.at):
            key = self._string()
            self._skip_space()
            if not self._take(":"):
                raise ValueError("no colon")
            return key
        match = _KEY.match(self.text, self.at)
        if match is None:
            raise ValueError("no key")
        self.at = match.end()
        return match[1]

    def _string(self) -> str:
        start = self.at + len(_QUOTE)
        end = self.text.find(_QUOTE, start)
        if end < 0:
            raise ValueError("a string does not end")
        self.at = end + len(_QUOTE)
        return self.text[start:end]

    def _take(self, character: str) -> bool:
        is_there = self.text.startswith(character, self.at)
        self.at += is_there
        return is_there

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
