"""One thread per model computes for all of its requests.

Requests wait in one queue for each client, so that a client with many requests delays no other: the next one
is that of the client with the fewest running. Each turn of the loop starts what there is room for, runs one
step of the engine, and hands every request what the step completed, all in one call of the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from zeropoint.engine.session.logprobs import TokenLogprob
from zeropoint.engine.session.model import Model
from zeropoint.engine.session.stream import Stream
from zeropoint.engine.session.text_encoder import TextEncoder
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.server.errors import ApiError, of_exception
from zeropoint.server.prefix_store import RecentTexts
from zeropoint.tokenizers.chat.reply.events import ReplyEvent

__all__ = ["Answer", "AnyModel", "EngineThread", "Update", "writer"]

T = TypeVar("T")
AnyModel = Model | TextEncoder
_LOG = logging.getLogger("zeropoint.server")


@frozen
class Update:
    """What a step completed of an answer. The first one is empty: the request was accepted.

    stream: set on the last update.
    """

    events: list[ReplyEvent]
    logprobs: list[TokenLogprob]
    stream: Stream | None = None


class Answer:
    """One request's answer, to be iterated over in the event loop. Cancel it to free its memory at once."""

    def __init__(self, thread: EngineThread, start: Callable[[Model], Stream], client: str) -> None:
        self.start, self.client = start, client
        self.is_cancelled = False
        self.loop = asyncio.get_running_loop()
        self.updates: asyncio.Queue[Update | ApiError] = asyncio.Queue()
        self._thread = thread
        self._is_over = False

    async def __aiter__(self) -> AsyncIterator[Update]:
        """The updates up to the last one. Raises ApiError."""
        try:
            while not self._is_over:
                update = await self.updates.get()
                if isinstance(update, ApiError):
                    self._is_over = True
                    raise update
                self._is_over = update.stream is not None
                yield update
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End it; does nothing once it is over."""
        if not self._is_over:
            self._is_over = self.is_cancelled = True
            self._thread.wake()


@dataclass
class _Running:
    """An answer that the engine works on. n_logprobs: of its tokens, those that were handed over."""

    answer: Answer
    stream: Stream
    n_logprobs: int = 0


@dataclass
class _Queues:
    """Answers that wait, by client, and how many of each client's run."""

    waiting: dict[str, deque[Answer]] = field(default_factory=dict)
    n_running: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, answer: Answer) -> None:
        self.waiting.setdefault(answer.client, deque()).append(answer)

    def next(self) -> Answer | None:
        """The oldest of the client with the fewest running; None if none waits."""
        while self.waiting:
            client = min(self.waiting, key=lambda name: self.n_running[name])
            answer = self.waiting[client].popleft()
            if not self.waiting[client]:
                del self.waiting[client]
            if not answer.is_cancelled:
                return answer
        return None

    def count(self) -> int:
        return sum(map(len, self.waiting.values()))


def writer(model: AnyModel) -> Model:
    """The model as one that writes text. Raises BadInput for an encoder."""
    if isinstance(model, TextEncoder):
        raise BadInput(f"{model.name} is an encoder: it turns texts into vectors and writes none")
    return model


class EngineThread:
    """Runs a model for an event loop.

    max_running: answers that the engine works on at once; max_waiting: those that may wait besides. recent:
    the texts whose beginnings the cache may hold.
    """

    def __init__(self, model: AnyModel, max_running: int, max_waiting: int) -> None:
        self.model = model
        self.recent = RecentTexts()
        self.n_steps = self.n_prompt_tokens = self.n_cached_tokens = self.n_completion_tokens = 0
        self._max_running, self._max_waiting = max_running, max_waiting
        self._queues = _Queues()
        self._running: list[_Running] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._loop, name=f"engine of {model.name}", daemon=True)
        self._thread.start()

    @property
    def n_running(self) -> int:
        """Answers that the engine works on."""
        return len(self._running)

    @property
    def n_waiting(self) -> int:
        """Answers that wait for their turn."""
        with self._changed:
            return self._queues.count()

    def answer(self, start: Callable[[Model], Stream], client: str) -> Answer:
        """Queue an answer, which `start` begins in the engine's thread. Raises ApiError if it is full."""
        answer = Answer(self, start, client)
        with self._changed:
            if self._queues.count() >= self._max_waiting + self._max_running - len(self._running):
                message = f"{self._queues.count()} requests wait already; try again later"
                raise ApiError(
                    429, message, code="queue_full", kind="rate_limit_error", headers={"retry-after": "1"}
                )
            self._queues.add(answer)
            self._changed.notify()
        return answer

    async def call(self, function: Callable[[AnyModel], T]) -> T:
        """Run a short function of the model between two steps. Raises what it raises."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def deliver(outcome: T | None, error: BaseException | None) -> None:
            if result.done():
                return
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(outcome)  # type: ignore[arg-type]

        def run() -> None:
            try:
                outcome, failure = function(self.model), None
            except Exception as error:
                outcome, failure = None, error
            loop.call_soon_threadsafe(deliver, outcome, failure)

        with self._changed:
            self._calls.append(run)
            self._changed.notify()
        return await result

    def wake(self) -> None:
        """Look for cancelled answers now."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """End all answers, then the thread; the model stays loaded."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not (self._is_closing or self._running or self._calls or self._queues.waiting):
                    self._changed.wait()
                if self._is_closing:
                    break
                calls = list(self._calls)
                self._calls.clear()
            for call in calls:
                call()
            self._drop_cancelled()
            self._start_waiting()
            if self._running:
                self._step()
        self._fail_all(
            ApiError(503, "the server is shutting down", code="shutting_down", kind="server_error")
        )

    def _start_waiting(self) -> None:
        while len(self._running) < self._max_running:
            with self._changed:
                answer = self._queues.next()
            if answer is None:
                return
            try:
                stream = answer.start(writer(self.model))
            except Exception as error:
                self._send({answer: [self._failure(error)]})
                continue
            self._queues.n_running[answer.client] += 1
            self._running.append(_Running(answer, stream))
            self._send({answer: [Update([], [])]})

    def _step(self) -> None:
        try:
            writer(self.model).streams.step()
        except Exception as error:
            self._fail_all(self._failure(error))
            return
        self.n_steps += 1
        updates: dict[Answer, list[Update | ApiError]] = {}
        for running in list(self._running):
            try:
                events = running.stream.poll()
            except Exception as error:
                updates[running.answer] = [self._failure(error)]
                self._remove(running)
                continue
            logprobs = running.stream.logprobs[running.n_logprobs :]
            running.n_logprobs += len(logprobs)
            is_over = running.stream.is_over
            if events or logprobs or is_over:
                last = running.stream if is_over else None
                updates[running.answer] = [Update(events, logprobs, last)]
            if is_over:
                self._count(running.stream)
                self._remove(running)
        self._send(updates)

    def _count(self, stream: Stream) -> None:
        usage = stream.usage
        self.recent.add([*stream.prompt_ids, *stream.token_ids])
        self.n_prompt_tokens += usage.prompt_tokens
        self.n_cached_tokens += usage.cached_tokens
        self.n_completion_tokens += usage.completion_tokens

    def _drop_cancelled(self) -> None:
        for running in list(self._running):
            if running.answer.is_cancelled:
                self._remove(running)

    def _remove(self, running: _Running) -> None:
        running.stream.close()
        self._running.remove(running)
        counts, client = self._queues.n_running, running.answer.client
        counts[client] -= 1
        if not counts[client]:
            del counts[client]

    def _fail_all(self, error: ApiError) -> None:
        failed = [running.answer for running in self._running]
        for running in list(self._running):
            self._remove(running)
        if self._is_closing:
            with self._changed:
                while (answer := self._queues.next()) is not None:
                    failed.append(answer)
        self._send({answer: [error] for answer in failed})

    def _failure(self, error: Exception) -> ApiError:
        failure = of_exception(error)
        if failure.status >= 500:
            _LOG.error("a request failed", exc_info=error)
        return failure

    @staticmethod
    def _send(updates: dict[Answer, list[Update | ApiError]]) -> None:
        """Hand over updates, with one call for each event loop."""
        for loop, group in itertools.groupby(updates.items(), key=lambda item: item[0].loop):
            batch = list(group)

            def deliver(batch: list[tuple[Answer, list[Update | ApiError]]] = batch) -> None:
                for answer, parts in batch:
                    for part in parts:
                        answer.updates.put_nowait(part)

            try:
                loop.call_soon_threadsafe(deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue
