"""gpt-oss: every message of a reply names its channel, and its recipient if it calls a tool (harmony).

    <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...<|return|>
    <|channel|>commentary to=functions.f <|constrain|>json<|message|>{"x": 1}<|call|>

The channel analysis is the reasoning. Format: https://cookbook.openai.com/articles/openai-harmony.
"""

from __future__ import annotations

import re

from zeropoint.tokenizers.chat.reply.calls import json_call
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, Text, ToolCall
from zeropoint.tokenizers.chat.reply.markers import MarkerFinder
from zeropoint.tokenizers.chat.reply.tags import MAX_CALL_CHARS

__all__ = ["MARKERS", "HarmonyParser"]

_START, _CHANNEL, _MESSAGE, _CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>")
MARKERS = (_START, _CHANNEL, _MESSAGE, _CONSTRAIN, *_ENDS)
_RECIPIENT = re.compile(r"\bto=(\S+)")
_MAX_HEADER_CHARS = 1 << 12


class HarmonyParser:
    """A `ReplyParser`. calls_tools: whether a message to a tool is a call; it is text without tools."""

    def __init__(self, calls_tools: bool) -> None:
        self._calls_tools = calls_tools
        self._finder = MarkerFinder()
        self._header: list[str] = []  # the header's text and markers
        self._body: list[str] | None = None  # of a message that is being read; None in a header
        self._n_chars = 0
        self._recipient, self._is_reasoning = "", False
        self._n_calls = 0
        self._has_reasoned = False
        self._events: list[ReplyEvent] = []

    def push(self, text: str) -> list[ReplyEvent]:
        """The events that this piece completes."""
        self._finder.push(text)
        while self._step():
            pass
        return self._take_events()

    def finish(self) -> list[ReplyEvent]:
        """The events that were held back."""
        rest = self._finder.rest()
        if self._body is None:
            header = "".join(self._header) + rest
            if _CHANNEL not in header:  # a text without any header
                self._add_text(header)
        else:
            self._read_body(rest)
            self._end_message()
        return self._take_events()

    def _take_events(self) -> list[ReplyEvent]:
        events, self._events = self._events, []
        return events

    def _step(self) -> bool:
        text, marker = self._finder.next(MARKERS if self._body is None else (_MESSAGE, *_ENDS, _START))
        if self._body is not None:
            self._read_body(text)
            if marker in (*_ENDS, _START):
                self._end_message()
                self._header = [marker] if marker == _START else []
            return bool(marker)
        self._header.append(text)
        self._n_chars += len(text)
        if marker == _MESSAGE:
            self._begin_message()
        elif marker == _START:
            self._header = []
        elif marker:
            self._header.append(marker)
        elif self._n_chars > _MAX_HEADER_CHARS:  # no header at all: read it as an answer
            held, self._header, self._n_chars = "".join(self._header), [], 0
            self._body, self._recipient, self._is_reasoning = [], "", False
            self._read_body(held)
        return bool(marker)

    def _begin_message(self) -> None:
        header = "".join(self._header)
        recipient = _RECIPIENT.search(header)
        words = header.partition(_CHANNEL)[2].split()
        self._is_reasoning = bool(words) and words[0].startswith("analysis") and recipient is None
        self._recipient = recipient[1].partition("<|")[0] if recipient else ""
        if self._is_reasoning and self._has_reasoned:
            self._events.append(Reasoning("\n"))
        self._has_reasoned |= self._is_reasoning
        self._header, self._body, self._n_chars = [], [], 0

    def _read_body(self, text: str) -> None:
        if self._is_reasoning:
            self._events += [Reasoning(text)] if text else []
        elif not self._recipient or not self._calls_tools:
            self._add_text(text)
        elif self._body is not None:
            self._body.append(text)
            self._n_chars += len(text)
            if self._n_chars > MAX_CALL_CHARS:
                self._add_text("".join(self._body))
                self._body, self._recipient = [], ""

    def _end_message(self) -> None:
        body, self._body, self._n_chars = "".join(self._body or ()), None, 0
        if not self._recipient or not self._calls_tools:
            return
        try:
            call = json_call({"name": self._recipient.removeprefix("functions."), "arguments": body.strip()})
        except (ValueError, RecursionError):
            self._add_text(body)
            return
        self._events.append(ToolCall(self._n_calls, call.name, call.arguments))
        self._n_calls += 1

    def _add_text(self, text: str) -> None:
        if text:
            self._events.append(Text(text))
