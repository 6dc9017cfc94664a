"""The conversation in a terminal: a line in, an answer out, and what the slash commands do.

Ctrl-C stops an answer, or clears a line that is being typed; Ctrl-D leaves. Text over several lines stands
between three double quotes. A mistake is told in one sentence and the conversation goes on.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from zeropoint.cli import slash
from zeropoint.cli.answer import as_plain, tell_budget
from zeropoint.cli.console import Console
from zeropoint.engine.contract import ENDLESS
from zeropoint.engine.session.chat import Answer, Conversation
from zeropoint.errors import ZeropointError
from zeropoint.sampling.params import SamplingParams

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

__all__ = ["Repl"]

_QUOTES = '"""'
_PROMPT, _MORE = "> ", ". "


class Repl:
    """A conversation with a person. `session` reads the lines (tests give one of their own).

    params: what was set by flag or file, over the model's own. stats: numbers of the last answer.
    """

    def __init__(
        self,
        console: Console,
        conversation: Conversation,
        params: SamplingParams,
        session: PromptSession[str] | None = None,
    ) -> None:
        self.console = console
        self.conversation = conversation
        self.params = params
        self.stats: dict[str, Any] = {}
        self._session = session or _terminal_session()

    def run(self) -> None:
        """Talk until Ctrl-D or /exit."""
        model = self.conversation.model
        n_ctx = model.engine.n_ctx
        room = "text without end" if n_ctx == ENDLESS else f"context of {n_ctx:,} tokens"
        self.console.notice(
            f"{model.name}, {room}; /help lists what can be done, Ctrl-C stops an answer, Ctrl-D leaves"
        )
        while True:
            try:
                text = self._read()
                if text.startswith("/"):
                    slash.run(self, text)
                elif text.strip():
                    self.answer(self.conversation.ask(text, self.params))
            except slash.Leave:
                return
            except EOFError:
                return
            except KeyboardInterrupt:
                continue
            except ZeropointError as error:
                self.console.error(str(error))

    def answer(self, answer: Answer) -> None:
        """Stream an answer; Ctrl-C stops it and keeps what was said."""
        told = list(answer.notices)
        for notice in told:
            self.console.notice(notice)
        try:
            for piece in answer:
                self.console.write(piece)
        except KeyboardInterrupt:
            answer.close()
            self.console.line()
            self.console.notice("stopped; /retry asks again")
            return
        finally:
            answer.close()
        self.console.line()
        self.stats = {"finish_reason": answer.finish_reason}
        self.stats |= as_plain(answer.usage) | as_plain(answer.timings)
        if self.stats["predicted_ms"] > 0:  # the first token belongs to reading the prompt
            self.stats["tok_s"] = (self.stats["predicted_n"] - 1) / self.stats["predicted_ms"] * 1000
        for notice in answer.notices:
            if notice not in told:
                self.console.notice(notice)
        tell_budget(self.console, answer, self.params, "/set max_tokens")

    def _read(self) -> str:
        """One line, or the lines between three double quotes."""
        text = self._session.prompt(_PROMPT)
        if not text.lstrip().startswith(_QUOTES):
            return text
        text = text.lstrip()[len(_QUOTES) :]
        while not text.rstrip().endswith(_QUOTES):
            text += "\n" + self._session.prompt(_MORE)
        return text.rstrip()[: -len(_QUOTES)].strip("\n")


def _terminal_session() -> PromptSession[str]:
    """Line editing with history in the state folder; without a history where that cannot be written."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    from zeropoint.settings import history_file

    class History(FileHistory):
        def store_string(self, string: str) -> None:
            with contextlib.suppress(OSError):  # the conversation is worth more than its history
                super().store_string(string)

    path = history_file()
    history: InMemoryHistory | History = InMemoryHistory()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        history = History(str(path))
    words = WordCompleter([f"/{name}" for name in slash.names()], sentence=True)
    return PromptSession(history=history, completer=words, complete_while_typing=False)
