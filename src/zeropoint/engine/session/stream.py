"""Stream an answer: pieces of text while it is generated, then token counts and times."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from zeropoint.blueprint.interventions import Intervention
from zeropoint.decoding.governor import PassCosts
from zeropoint.decoding.method import DecodingMethod
from zeropoint.engine.contract import Engine, Event, FinishReason, Request
from zeropoint.engine.fair_lock import FairLock
from zeropoint.engine.session.logprobs import LogprobRecorder, TokenLogprob
from zeropoint.engine.session.process_bound import ProcessBound
from zeropoint.errors import BadInput, MachineError
from zeropoint.frozen import frozen
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.repetition import CHECK_EVERY, repeated_tail
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, ReplyParser, Text, ToolCall
from zeropoint.tokenizers.core.stream import TextStream

__all__ = ["Stream", "StreamMultiplexer", "Timings", "Usage"]


@frozen
class Usage:
    """Token counts. cached_tokens: tokens of the prompt that came from the KV cache."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens of the prompt and of the answer."""
        return self.prompt_tokens + self.completion_tokens


@frozen
class Timings:
    """Tokens and milliseconds of prefill and decode, under llama.cpp's names."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    cache_n: int = 0


class StreamMultiplexer:
    """Lets several streams share one engine: whichever steps it, each receives its own events.

    max_ctx: the longest context that the model allows, in tokens. pass_costs: of the engine, for speculation.
    """

    def __init__(self, engine: Engine, max_ctx: int) -> None:
        self.engine = engine
        self.max_ctx = max_ctx
        self.pass_costs = PassCosts()
        self._turns = FairLock()
        self._pending: dict[int, list[Event]] = {}
        self._methods: dict[int, DecodingMethod] = {}
        self._decoding: set[int] = set()  # requests that have sampled a token

    def submit(self, request: Request, method: DecodingMethod | None = None) -> int:
        """Queue a request, with a decoding method for it, and return its id."""
        with self._turns:
            request_id = self.engine.submit(request)
            self._pending[request_id] = []
            if method is not None:
                self._methods[request_id] = method
        return request_id

    def next_events(self, request_id: int) -> list[Event]:
        """The pending events of a request; steps the engine until there is one. [] once it is forgotten.

        Threads take turns: while one of them steps the engine, all their requests advance.
        """
        while not self._pending.get(request_id, [None]):
            with self._turns:
                if self._pending.get(request_id, [None]):
                    break  # another thread's step brought it
                if not self.step() and request_id in self._pending:
                    raise MachineError("the answer ended because a concurrent request failed; ask again")
        return self.take(request_id)

    def step(self) -> bool:
        """One step of the engine; each event waits for its request. False if the engine had nothing to do."""
        with self._turns:
            events = self._steered_step()
            for event in events:
                pending = self._pending.get(event.request)
                if pending is not None:
                    pending.append(event)
                elif event.finish is None:
                    self.engine.cancel(event.request)
        return bool(events)

    def take(self, request_id: int) -> list[Event]:
        """The pending events of a request, without a step."""
        events = self._pending.get(request_id, [])
        taken = events[:]
        del events[: len(taken)]
        return taken

    def forget(self, request_id: int) -> None:
        """Cancel the request if it is running, and drop its pending events."""
        self._pending.pop(request_id, None)
        method = self._methods.pop(request_id, None)
        if method is not None:
            method.close()
        self._decoding.discard(request_id)
        with contextlib.suppress(BadInput):  # a closed engine has no requests
            self.engine.cancel(request_id)

    def _steered_step(self) -> list[Event]:
        """One step of the engine, with what the decoding methods add."""
        methods = list(self._methods.items())
        n_rows = len(self._pending)
        for request_id, method in methods:
            draft, masks = method.before_step(n_rows - 1)
            if draft or masks is not None:
                self.engine.steer(request_id, draft, masks)
                n_rows += len(draft)
        start = time.perf_counter()
        events = self.engine.step()
        seconds = time.perf_counter() - start
        tokens: dict[int, list[int]] = {}
        for event in events:
            tokens.setdefault(event.request, [])
            if event.token is not None:
                tokens[event.request].append(event.token)
        if not tokens.keys() <= self._decoding or len(tokens) < len(self._pending):
            n_rows = 0  # prompts were read, too, or requests wait: not the time of n_rows
        self._decoding.update(request_id for request_id, own in tokens.items() if own)
        for request_id, method in methods:
            method.after_step(tokens.get(request_id, []), n_rows, seconds)
        return events


class Stream(ProcessBound):
    """Iterate over pieces of text; each step of the iteration runs the engine. Close it to stop early.

    Threads may share a stream: each piece goes to one of them, and any thread may close it. `async for` works
    as well.

    finish_reason: "stop" (an end token or a stop sequence), "length" (`max_tokens` or a full context),
    "repetition" (with `stop_repetition`) or "cancelled"; None while the answer is running. usage, timings: so
    far. prompt_ids: of the prompt. token_ids: generated so far. notices: sentences to show to the user.
    tool_calls: complete so far. A notebook shows the text so far and the counts.

    reply: separates reasoning and tool calls from the text; without it, all is text. method: makes decoding
    faster, or limits it.
    """

    def __init__(
        self,
        streams: StreamMultiplexer,
        text: TextStream,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        stop_ids: Sequence[int],
        notices: Sequence[str] = (),
        interventions: Sequence[Intervention] = (),
        on_progress: Callable[[int, int], None] | None = None,
        logprobs: LogprobRecorder | None = None,
        reply: ReplyParser | None = None,
        method: DecodingMethod | None = None,
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self.notices = list(notices)
        self.prompt_ids = prompt_ids
        self.token_ids: list[int] = []
        self.tool_calls: list[ToolCall] = []
        self.method = method
        self._reply = reply
        self._ready: deque[ReplyEvent] = deque()
        self._reasoning: list[str] = []
        self._text = text
        self._streams = streams
        self._on_progress = on_progress
        self._logprobs = logprobs
        self._max_tokens = params.max_tokens
        self._stops_repetition = bool(params.stop_repetition)
        self._n_prompt, self._n_cached = len(prompt_ids), 0
        self._started = time.monotonic()
        self._first: float | None = None
        self._last = self._started
        self._events: deque[Event] = deque()
        self._is_done = False
        self._pieces: list[str] = []
        self._iterating = threading.RLock()  # held during a step of the iteration
        self._ending = threading.RLock()  # held briefly, so that `close` need not wait for a step
        self._request_id = streams.submit(
            Request(
                prompt_ids,
                params,
                stop_ids,
                logprobs is not None,
                logprobs.n_top if logprobs else 0,
                interventions,
                logprobs.named if logprobs else (),
            ),
            method,
        )
        weakref.finalize(self, streams.forget, self._request_id).atexit = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while (event := self._next_event()) is not None:
            if isinstance(event, Text):
                return event.text
        raise StopIteration

    async def __aiter__(self) -> AsyncIterator[str]:
        """Iterate in an event loop: a thread waits for each piece, so that other tasks go on meanwhile."""
        import asyncio  # here: it takes as long to import as the rest

        while (piece := await asyncio.to_thread(next, self, None)) is not None:
            yield piece

    def events(self) -> Iterator[ReplyEvent]:
        """Iterate over everything in the reply: `Text`, `Reasoning` and `ToolCall`, in order."""
        while (event := self._next_event()) is not None:
            yield event

    def poll(self) -> list[ReplyEvent]:
        """What the steps that somebody else made (`StreamMultiplexer.step`) have completed of the reply."""
        with self._iterating:
            self._events.extend(self._streams.take(self._request_id))
            while not self._is_done and (self._events or self.finish_reason is not None):
                self._ready.extend(self._advance())
            events = [self._record(event) for event in self._ready]
            self._ready.clear()
            return events

    @property
    def stopped_by(self) -> str:
        """The stop text that ended the answer, or ""."""
        return self._text.stopped_by

    @property
    def is_over(self) -> bool:
        """Whether the reply is complete or was cancelled."""
        return self._is_done

    @property
    def reasoning(self) -> str:
        """What the model thought before its answer, so far; "" if it does not reason."""
        return "".join(self._reasoning)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def text(self) -> str:
        """The complete answer, including the pieces that were already iterated over; waits for its end."""
        for _ in self:
            pass
        return "".join(self._pieces)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._state()}>"

    def _repr_html_(self) -> str:
        from zeropoint import markup

        timings = self.timings
        rows = [("text so far" if self.finish_reason is None else "text", "".join(self._pieces))]
        rows.append(("state", self._state()))
        if timings.predicted_n > 1 and timings.predicted_ms:
            rows.append(("speed", f"{(timings.predicted_n - 1) / timings.predicted_ms * 1000:.0f} tokens/s"))
        return markup.styled(markup.table(rows))

    def _state(self) -> str:
        n = len(self.token_ids)
        state = f"{n:,} token{'' if n == 1 else 's'}"
        if self.finish_reason is not None:
            return f"{state}, finish reason {self.finish_reason}"
        return f"{state} so far; iterate over it or call text() for more"

    def close(self) -> None:
        """Stop now, also while another thread iterates. Does nothing once the answer has ended."""
        with self._ending:
            if self.finish_reason is None:
                self.finish_reason = "cancelled"
            self._is_done = True
        self._streams.forget(self._request_id)

    @property
    def logprobs(self) -> list[TokenLogprob]:
        """Log-probabilities of `token_ids`; empty unless requested."""
        return self._logprobs.tokens if self._logprobs else []

    @property
    def usage(self) -> Usage:
        """Token counts so far."""
        return Usage(self._n_prompt, len(self.token_ids), self._n_cached)

    @property
    def timings(self) -> Timings:
        """Times so far. The first token counts as part of the prefill."""
        first = self._last if self._first is None else self._first
        return Timings(
            prompt_n=self._n_prompt - self._n_cached,
            prompt_ms=(first - self._started) * 1000,
            predicted_n=len(self.token_ids),
            predicted_ms=(self._last - first) * 1000,
            cache_n=self._n_cached,
        )

    def _next_event(self) -> ReplyEvent | None:
        """The next part of the reply, which is recorded; None at the end."""
        with self._iterating:
            while not self._ready and not self._is_done:
                self._ready.extend(self._advance())
            if not self._ready or self.finish_reason == "cancelled":
                return None
            return self._record(self._ready.popleft())

    def _record(self, event: ReplyEvent) -> ReplyEvent:
        if isinstance(event, Text):
            self._pieces.append(event.text)
        elif isinstance(event, Reasoning):
            self._reasoning.append(event.text)
        else:
            self.tool_calls.append(event)
        return event

    def _parse(self, text: str) -> list[ReplyEvent]:
        if self._reply is None:
            return [Text(text)] if text else []
        return self._reply.push(text)

    def _advance(self) -> list[ReplyEvent]:
        """What the engine's next event completes; after the last event, what was held back."""
        with self._ending:
            if self._is_done:
                return []
            self._is_done = self.finish_reason is not None
        if self._is_done:
            self._streams.forget(self._request_id)
            return self._parse(self._text.finish()) + (self._reply.finish() if self._reply else [])
        try:
            if not self._events:
                self._events.extend(self._streams.next_events(self._request_id))
            with self._ending:
                return [] if self._is_done else self._parse(self._handle(self._events.popleft()))
        except BaseException:
            self.close()
            raise

    def _handle(self, event: Event) -> str:
        self._n_cached = event.n_cached
        self._last = time.monotonic()
        if self._on_progress is not None and self._first is None:
            self._on_progress(event.n_read, event.n_prompt)
        self.finish_reason = event.finish
        if event.token is None:
            return ""
        if self._first is None:
            self._first = self._last
        self.token_ids.append(event.token)
        if self._logprobs is not None:
            self._logprobs.record(event)
        piece = self._text.push(event.token)
        if self._text.stopped:
            self.finish_reason = "stop"
        elif self._repeats():
            self.finish_reason = "repetition"
        elif event.finish == "length" and len(self.token_ids) != self._max_tokens:
            n_ctx, max_ctx = self._streams.engine.n_ctx, self._streams.max_ctx
            more = f"; choose a larger context, up to {max_ctx} tokens" if n_ctx < max_ctx else ""
            self.notices.append(f"the answer was cut off: the context of {n_ctx} tokens is full{more}")
        return piece

    def _repeats(self) -> bool:
        is_due = self._stops_repetition and len(self.token_ids) % CHECK_EVERY == 0
        return is_due and repeated_tail(self.token_ids) is not None
