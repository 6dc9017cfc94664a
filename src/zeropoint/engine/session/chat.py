"""A conversation: its messages, the next answer, and which turns are dropped when the context is full.

Nothing is dropped silently. When the messages no longer fit, the oldest turns (a question with its answer) go
first, and a notice reports it; the system prompt stays. A single message that does not fit is an error.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.engine.context_limit import context_full
from zeropoint.engine.session import chat_history
from zeropoint.engine.session.chat_history import Message
from zeropoint.errors import BadInput, ContextFull, DiskError, OutOfMemory
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.chat.reply.events import ReplyEvent, Text

if TYPE_CHECKING:
    from zeropoint.decoding.guidance.guide import Guide
    from zeropoint.engine.session.model import Model
    from zeropoint.engine.session.stream import Stream

__all__ = ["Answer", "Conversation", "Message", "cache_path"]

# Tokens reserved for the answer: this many or a quarter of the context, unless max_tokens is smaller.
_ANSWER_TOKENS = 256


class Answer:
    """One answer: iterate over its pieces of text, or over `events()`. Its turn then joins the conversation.

    An answer that is stopped early joins with the text so far; without any text, its question is dropped too.
    """

    def __init__(self, stream: Stream, notices: list[str], on_end: Callable[[str], None]) -> None:
        self._stream = stream
        self._notices = notices
        self._on_end = on_end
        self._pieces: list[str] = []
        self._iterating = threading.RLock()  # pieces are stored in order when threads share the answer
        self._ending = threading.RLock()
        self._is_open = True

    def __iter__(self) -> Iterator[str]:
        with contextlib.closing(self.events()) as events:
            for event in events:
                if isinstance(event, Text):
                    yield event.text

    def events(self) -> Generator[ReplyEvent, None, None]:
        """Iterate over everything in the reply: `Text`, `Reasoning` and `ToolCall`, in order."""
        events = self._stream.events()
        try:
            while (event := self._next(events)) is not None:
                yield event
        finally:
            self.close()

    def _next(self, events: Iterator[ReplyEvent]) -> ReplyEvent | None:
        with self._iterating:
            event = next(events, None)
            if isinstance(event, Text):
                self._pieces.append(event.text)
            return event

    @property
    def reasoning(self) -> str:
        """What the model thought before its answer, so far. It is not part of the conversation."""
        return self._stream.reasoning

    def text(self) -> str:
        """The complete answer; waits for its end."""
        for _ in self:
            pass
        return "".join(self._pieces)

    def close(self) -> None:
        """Stop the answer if it is running, and add its turn to the conversation. May be repeated.

        Another thread may call it while one iterates.
        """
        with self._ending:
            if self._is_open:
                self._is_open = False
                self._stream.close()
                self._on_end("".join(self._pieces))

    def __repr__(self) -> str:
        return repr(self._stream).replace(type(self._stream).__name__, "Answer", 1)

    def _repr_html_(self) -> str:
        return self._stream._repr_html_()

    @property
    def notices(self) -> list[str]:
        """Sentences to show to the user: dropped turns, and notices of the stream."""
        return [*self._notices, *self._stream.notices]

    @property
    def logprobs(self) -> Any:
        """Log-probabilities of the tokens so far; empty unless requested."""
        return self._stream.logprobs

    @property
    def usage(self) -> Any:
        """Token counts: of the prompt, of the answer, and from the KV cache."""
        return self._stream.usage

    @property
    def finish_reason(self) -> Any:
        """Why the answer ended: "stop", "length", "repetition" or "cancelled"; None while it is running."""
        return self._stream.finish_reason

    @property
    def timings(self) -> Any:
        """Times of prefill and decode."""
        return self._stream.timings


class Conversation:
    """A conversation with a model. One answer at a time: asking again stops an answer that is running.

    thinking: whether to reason before each answer, if the template has a switch; None leaves that to it.
    guide: what each answer must look like.
    count: the number of tokens in a list of messages; by default measured with the model's chat template and
    tokenizer.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        *,
        thinking: bool | None = None,
        guide: Guide | None = None,
        count: Callable[[list[Message]], int] | None = None,
    ) -> None:
        self.model = model
        self.system = system
        self.turns: list[Message] = []
        self.thinking = thinking
        self.guide = guide
        self._count = count or self._count_with_template
        self._answer: Answer | None = None
        self._unanswered: str | None = None
        self._shown: set[str] = set()

    @property
    def messages(self) -> list[Message]:
        """All messages: the system prompt, then alternating questions and answers."""
        return [*self._system(), *self.turns]

    def ask(
        self,
        text: str,
        params: SamplingParams | None = None,
        *,
        logprobs: bool = False,
        top_logprobs: int = 0,
    ) -> Answer:
        """Ask the next question. logprobs, top_logprobs: as in `Model.chat`.

        Raises ContextFull if it alone is too long, BadInput if it is empty.
        """
        if not text.strip():
            raise BadInput("the question is empty; type a question")
        self._stop()
        params = params or SamplingParams()
        n_dropped = self._turns_to_drop(text, params)
        messages = self._messages_with(text, n_dropped)
        stream = self.model.chat(
            messages,
            params,
            logprobs=logprobs,
            top_logprobs=top_logprobs,
            thinking=self.thinking,
            guide=self.guide,
        )
        del self.turns[: 2 * n_dropped]
        self._unanswered = text
        # A notice about the template would be the same in every turn.
        stream.notices[:] = [notice for notice in stream.notices if notice not in self._shown]
        self._shown.update(stream.notices)
        self._answer = Answer(stream, self._drop_notice(n_dropped), lambda answer: self._add(text, answer))
        return self._answer

    def retry(self, params: SamplingParams | None = None) -> Answer:
        """Ask the last question again and discard its answer. Raises BadInput if there is none."""
        self._stop()
        if self._unanswered is not None:
            return self.ask(self._unanswered, params)
        if not self.turns:
            raise BadInput("there is nothing to retry yet; ask something first")
        question = self.turns[-2]["content"]
        del self.turns[-2:]
        return self.ask(question, params)

    def reset(self) -> None:
        """Remove all turns; the system prompt stays."""
        self._stop()
        self.turns.clear()
        self._unanswered = None

    def save(self, path: Path) -> None:
        """Write the messages as JSON and their KV cache next to it, so that loading skips the prefill.

        Raises BadInput, DiskError.
        """
        self._stop()
        chat_history.write(path, self.messages)
        if self.turns:
            ids = self.model.encode_chat(self.messages, thinking=self.thinking)
            self.model.save_cache(ids, cache_path(path))

    def load(self, path: Path) -> list[str]:
        """Load a saved conversation, and its KV cache if there is one that fits this model.

        Returns notices for the user: why a cache is not used. Raises BadInput naming file and field.
        """
        messages = chat_history.read(path)
        self.reset()
        has_system = bool(messages) and messages[0]["role"] == "system"
        self.system = messages[0]["content"] if has_system else None
        self.turns = messages[has_system:]
        cache = cache_path(path)
        if not cache.exists():
            return []
        try:
            self.model.load_cache(cache)
        except (BadInput, DiskError, OutOfMemory) as error:
            return [f"the saved KV cache is not used and the conversation will be read again: {error}"]
        return []

    def _turns_to_drop(self, text: str, params: SamplingParams) -> int:
        """How many of the oldest turns must be dropped for the question and an answer to fit."""
        n_ctx = self.model.engine.n_ctx
        max_tokens = _ANSWER_TOKENS if params.max_tokens is None else params.max_tokens
        n_reserved = max(1, min(max_tokens, _ANSWER_TOKENS, n_ctx // 4))
        n_turns = len(self.turns) // 2
        for n_dropped in range(n_turns + 1):
            try:
                n_tokens = self._count(self._messages_with(text, n_dropped))
            except ContextFull:
                if n_dropped == n_turns:
                    raise
                continue
            if n_tokens + n_reserved <= n_ctx:
                return n_dropped
        if n_tokens >= n_ctx:
            subject = "the question and the system prompt have" if self.system else "the question has"
            raise context_full(subject, n_tokens, n_ctx, self.model.blueprint.n_ctx)
        return n_turns

    def _drop_notice(self, n_dropped: int) -> list[str]:
        if n_dropped == 0:
            return []
        n_ctx = self.model.engine.n_ctx
        turns = "oldest question and its answer" if n_dropped == 1 else f"{n_dropped} oldest turns"
        return [f"the context of {n_ctx} tokens is full; dropped the {turns}"]

    def _add(self, question: str, answer: str) -> None:
        self._answer = None
        if answer:
            self.turns += [_message("user", question), _message("assistant", answer)]
            self._unanswered = None

    def _stop(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _messages_with(self, question: str, n_dropped: int) -> list[Message]:
        return [*self._system(), *self.turns[2 * n_dropped :], _message("user", question)]

    def _system(self) -> list[Message]:
        return [_message("system", self.system)] if self.system else []

    def _count_with_template(self, messages: list[Message]) -> int:
        return len(self.model.encode_chat(messages, thinking=self.thinking))


def cache_path(path: Path) -> Path:
    """The KV cache that `Conversation.save` writes next to a conversation's file."""
    return path.with_name(path.name + ".kv")


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
