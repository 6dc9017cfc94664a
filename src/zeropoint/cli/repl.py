"""Read-eval-print loop for `zeropoint chat`: read a line, stream the answer or run a slash command.

Ctrl-C stops an answer or clears the line being typed; Ctrl-D exits. Text between triple quotes may span
several lines. Errors are printed and the conversation continues.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from zeropoint.cli import slash
from zeropoint.cli.chat_session import ChatSession
from zeropoint.engine.contract import ENDLESS
from zeropoint.errors import BadInput, ZeropointError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

__all__ = ["Repl"]

_QUOTES = '"""'
_MAX_HISTORY_BYTES = 16 << 20
_PROMPT, _CONTINUATION = "> ", ". "


class Repl:
    """An interactive conversation. reader: reads lines from the terminal; tests pass their own."""

    def __init__(self, chat: ChatSession, reader: PromptSession[str] | None = None) -> None:
        self.chat = chat
        self._reader = reader or _terminal_reader()

    def run(self) -> None:
        """Read and answer until Ctrl-D or /exit."""
        console, model = self.chat.console, self.chat.conversation.model
        n_ctx = model.engine.n_ctx
        context = "unlimited context" if n_ctx == ENDLESS else f"context of {n_ctx:,} tokens"
        console.notice(f"{model.name}, {context}; /help lists commands, Ctrl-C stops, Ctrl-D exits")
        while True:
            try:
                text = self._read()
                if text.startswith("/"):
                    slash.run(self.chat, text)
                elif text.strip():
                    self.chat.ask(text)
            except (EOFError, slash.Leave):
                return
            except KeyboardInterrupt:
                continue
            except ZeropointError as error:
                console.error(str(error))

    def _read(self) -> str:
        """Read one line, or every line up to the closing triple quote."""
        text = self._reader.prompt(_PROMPT)
        if not text.lstrip().startswith(_QUOTES):
            return text
        text = text.lstrip()[len(_QUOTES) :]
        while not text.rstrip().endswith(_QUOTES):
            text += "\n" + self._reader.prompt(_CONTINUATION)
        return text.rstrip()[: -len(_QUOTES)].strip("\n")


def _terminal_reader() -> PromptSession[str]:
    """A line editor with a history file, or an in-memory history if that file cannot be used."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    from zeropoint.files.regular_file import read_regular
    from zeropoint.settings import history_file

    class History(FileHistory):
        def store_string(self, string: str) -> None:
            with contextlib.suppress(OSError):  # a full disk must not end the conversation
                super().store_string(string)

    path = history_file()
    history: InMemoryHistory | History = InMemoryHistory()
    with contextlib.suppress(OSError, BadInput):  # BadInput: a FIFO, or too large to load
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        read_regular(path, _MAX_HISTORY_BYTES)
        history = History(str(path))
    words = WordCompleter([f"/{name}" for name in slash.names()], sentence=True)
    return PromptSession(history=history, completer=words, complete_while_typing=False)
