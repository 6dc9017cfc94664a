"""Write a reply to stdout as it arrives: the answer, and on a terminal the reasoning before it, dimmed."""

from __future__ import annotations

from zeropoint.cli.console import Console
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, Text

__all__ = ["ReplyWriter"]


class ReplyWriter:
    """Writes one reply. In a pipe, stdout gets the answer only."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._write_text = console.text_writer()
        self._write_reasoning = console.text_writer("dim") if console.is_terminal else None
        self._is_reasoning = False

    def write(self, event: ReplyEvent) -> None:
        """Write the next part of the reply."""
        if isinstance(event, Reasoning) and self._write_reasoning is not None:
            if not self._is_reasoning and not self._console.has_style:
                self._console.line("Thinking:")
            self._is_reasoning = True
            self._write_reasoning(event.text)
        elif isinstance(event, Text):
            if self._is_reasoning:
                self._console.line("\n" if self._console.has_style else "\n\nAnswer:")
                self._is_reasoning = False
            self._write_text(event.text)
