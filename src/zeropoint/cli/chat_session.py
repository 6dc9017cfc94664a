"""The state of a terminal conversation: its turns, sampling parameters and statistics.

`repl.py` reads lines and drives a `ChatSession`; `slash.py` changes it with commands such as `/set`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zeropoint.cli.answer import as_plain, warn_of_end
from zeropoint.cli.console import Console
from zeropoint.cli.reply_writer import ReplyWriter
from zeropoint.engine.session.chat import Answer, Conversation
from zeropoint.remote.model import RemoteModel
from zeropoint.sampling.params import SamplingParams

__all__ = ["ChatSession"]


class ChatSession:
    """A conversation and how to sample from it.

    params: sampling parameters set by flags, settings files or `/set`, on top of the model's defaults.
    stats: finish reason, token counts, times in ms and tok/s of the last answer, complete or stopped; empty
    before the first. file: the conversation's own file, last saved or loaded; None before.
    """

    def __init__(self, console: Console, conversation: Conversation, params: SamplingParams) -> None:
        self.console = console
        self.conversation = conversation
        self.params = params
        self.stats: dict[str, Any] = {}
        self.file: Path | None = None

    def ask(self, question: str) -> None:
        """Send a question to the model and stream its answer."""
        self.show(self.conversation.ask(question, self.params))

    def retry(self) -> None:
        """Discard the last answer and stream a new one to the same question."""
        self.show(self.conversation.retry(self.params))

    def show(self, answer: Answer) -> None:
        """Stream an answer to stdout. Ctrl-C stops it and leaves the partial answer in the conversation."""
        early_notices = list(answer.notices)
        for notice in early_notices:
            self.console.notice(notice)
        writer = ReplyWriter(self.console)
        try:
            for event in answer.events():
                writer.write(event)
        except KeyboardInterrupt:
            answer.close()
            self.console.line()
            self.console.notice("stopped; /retry generates another answer")
            return
        finally:
            answer.close()
            self.stats = _stats(answer)
            if isinstance(model := self.conversation.model, RemoteModel):
                self.stats |= model.totals()
        self.console.line()
        for notice in answer.notices:
            if notice not in early_notices:
                self.console.notice(notice)
        warn_of_end(self.console, answer, self.params, "/set max_tokens", "/set stop_repetition false")


def _stats(answer: Answer) -> dict[str, Any]:
    stats = {"finish_reason": answer.finish_reason, **as_plain(answer.usage), **as_plain(answer.timings)}
    if stats["predicted_ms"] > 0:  # the time to the first token counts as prompt processing
        stats["predicted_per_second"] = (stats["predicted_n"] - 1) / stats["predicted_ms"] * 1000
    return stats
