"""A conversation: its messages, the next answer, and what leaves when the context is full.

Nothing is cut silently. When the messages no longer fit, the oldest turns leave whole (a question with its
answer) and a notice says so; the system prompt stays. A single message that does not fit is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint import _native
from zeropoint.engine.session import chat_history
from zeropoint.engine.session.chat_history import Message
from zeropoint.errors import BadInput, ContextFull, DiskError, OutOfMemory
from zeropoint.sampling.params import SamplingParams

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model
    from zeropoint.engine.session.stream import Stream

__all__ = ["Answer", "Conversation", "Message"]

# Room kept for the answer, unless max_tokens asks for less: this many tokens, or a quarter of the context.
_ANSWER_TOKENS = 256


class Answer:
    """One answer as it comes: iterate over its pieces of text. Its turn is kept when it ends.

    An answer that was stopped keeps what had been said; if that is nothing, its question leaves too.
    """

    def __init__(self, stream: Stream, notices: list[str], keep: Callable[[str], None]) -> None:
        self._stream = stream
        self._notices = notices
        self._keep = keep
        self._pieces: list[str] = []
        self._is_open = True

    def __iter__(self) -> Iterator[str]:
        try:
            for piece in self._stream:
                self._pieces.append(piece)
                yield piece
        finally:
            self.close()

    def text(self) -> str:
        """The whole answer; waits for its end."""
        for _ in self:
            pass
        return "".join(self._pieces)

    def close(self) -> None:
        """Stop the answer if it is still coming, and keep the turn. Harmless when repeated."""
        if self._is_open:
            self._is_open = False
            self._stream.close()
            self._keep("".join(self._pieces))

    @property
    def notices(self) -> list[str]:
        """What a person should be told: turns that left, and what the engine had to say."""
        return [*self._notices, *self._stream.notices]

    @property
    def usage(self) -> Any:
        """Tokens of the prompt, of the answer, and from the cache."""
        return self._stream.usage

    @property
    def finish_reason(self) -> Any:
        """Why the answer ended: "stop", "length" or "cancelled"."""
        return self._stream.finish_reason

    @property
    def timings(self) -> Any:
        """How long reading and answering took."""
        return self._stream.timings


class Conversation:
    """Messages with a model. One answer at a time; asking again stops one that still comes.

    count: tokens of a list of messages as the model would be given them; by default its own template
    and tokenizer tell.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        *,
        count: Callable[[list[Message]], int] | None = None,
    ) -> None:
        self.model = model
        self.system = system
        self.turns: list[Message] = []
        self._count = count or self._count_with_template
        self._answer: Answer | None = None
        self._unanswered: str | None = None

    @property
    def messages(self) -> list[Message]:
        """All messages: the system prompt, then questions and answers by turns."""
        return [*self._system(), *self.turns]

    def ask(self, text: str, params: SamplingParams | None = None) -> Answer:
        """Ask the next question. Raises ContextFull if it alone is too long, BadInput if it is empty."""
        if not text.strip():
            raise BadInput("the question is empty; say something")
        self._stop()
        params = params or SamplingParams()
        n_leaving = self._turns_too_many(text, params)
        messages = self._with(text, n_leaving)
        stream = self.model.chat(messages, params)
        del self.turns[: 2 * n_leaving]
        self._unanswered = text
        self._answer = Answer(stream, self._farewell(n_leaving), lambda answer: self._keep(text, answer))
        return self._answer

    def retry(self, params: SamplingParams | None = None) -> Answer:
        """Ask the last question again, forgetting its answer. Raises BadInput if there is none."""
        self._stop()
        if self._unanswered is not None:
            return self.ask(self._unanswered, params)
        if not self.turns:
            raise BadInput("there is nothing to retry yet; ask something first")
        question = self.turns[-2]["content"]
        del self.turns[-2:]
        return self.ask(question, params)

    def reset(self) -> None:
        """Forget all turns; the system prompt stays."""
        self._stop()
        self.turns.clear()
        self._unanswered = None

    def save(self, path: Path) -> None:
        """Write the messages as JSON, and beside them the cache, so that they need not be read again.

        Raises BadInput, DiskError.
        """
        self._stop()
        chat_history.write(path, self.messages)
        if self.turns:
            self.model.save_cache(self.model.encode_chat(self.messages), _cache_beside(path))

    def load(self, path: Path) -> list[str]:
        """Take the messages of a saved conversation, and its cache where it has one that fits this model.

        What a person should be told: why a cache is not used. Raises BadInput naming file and field.
        """
        messages = chat_history.read(path)
        self.reset()
        has_system = bool(messages) and messages[0]["role"] == "system"
        self.system = messages[0]["content"] if has_system else None
        self.turns = messages[has_system:]
        cache = _cache_beside(path)
        if not cache.exists():
            return []
        try:
            self.model.load_cache(cache)
        except (BadInput, DiskError, OutOfMemory) as error:
            return [f"the conversation will be read again: {error}"]
        return []

    def _turns_too_many(self, text: str, params: SamplingParams) -> int:
        """How many of the oldest turns must leave for the question and an answer to fit."""
        n_ctx = self.model.engine.n_ctx
        wanted = _ANSWER_TOKENS if params.max_tokens is None else params.max_tokens
        room = max(1, min(wanted, _ANSWER_TOKENS, n_ctx // 4))
        n_turns = len(self.turns) // 2
        for n_leaving in range(n_turns + 1):
            n_tokens = self._count(self._with(text, n_leaving))
            if n_tokens + room <= n_ctx:
                return n_leaving
        if n_tokens >= n_ctx:
            what = "the question and the system prompt have" if self.system else "the question has"
            raise ContextFull(_native.context_full_message(what, n_tokens, n_ctx))
        return n_turns

    def _farewell(self, n_leaving: int) -> list[str]:
        if n_leaving == 0:
            return []
        what = "oldest question and its answer" if n_leaving == 1 else f"{n_leaving} oldest turns"
        return [f"the context of {self.model.engine.n_ctx} tokens is full: the {what} left the conversation"]

    def _keep(self, question: str, answer: str) -> None:
        self._answer = None
        if answer:
            self.turns += [_message("user", question), _message("assistant", answer)]
            self._unanswered = None

    def _stop(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _with(self, question: str, n_leaving: int) -> list[Message]:
        return [*self._system(), *self.turns[2 * n_leaving :], _message("user", question)]

    def _system(self) -> list[Message]:
        return [_message("system", self.system)] if self.system else []

    def _count_with_template(self, messages: list[Message]) -> int:
        return len(self.model.encode_chat(messages))


def _cache_beside(path: Path) -> Path:
    return path.with_name(path.name + ".kv")


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
