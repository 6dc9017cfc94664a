"""What a parser makes of a reply: text, reasoning and tool calls, in the order in which they arrive."""

from __future__ import annotations

from typing import Protocol

from zeropoint.frozen import frozen

__all__ = ["Reasoning", "ReplyEvent", "ReplyParser", "Text", "ToolCall"]


@frozen
class Text:
    """A piece of the text for the user."""

    text: str


@frozen
class Reasoning:
    """A piece of what the model thinks before it answers."""

    text: str


@frozen
class ToolCall:
    """A complete call of a tool. index: 0 for the first of the reply. arguments: a JSON object, as text."""

    index: int
    name: str
    arguments: str


ReplyEvent = Text | Reasoning | ToolCall


class ReplyParser(Protocol):
    """Takes the reply in pieces of any size. Nothing is lost: what is malformed comes back as text."""

    def push(self, text: str) -> list[ReplyEvent]:
        """The events that this piece completes."""

    def finish(self) -> list[ReplyEvent]:
        """The events that were held back when the reply ended. Call it once, at the end."""
