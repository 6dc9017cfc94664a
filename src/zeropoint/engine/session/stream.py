"""An answer while it is made: pieces of text, and at the end what it took."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import Engine, Event, FinishReason, Request
from zeropoint.errors import BadInput, MachineError
from zeropoint.frozen import frozen
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.core.stream import TextStream

__all__ = ["Stream", "StreamMultiplexer", "Timings", "Usage"]


@frozen
class Usage:
    """Tokens read and made. cached_tokens: of the prompt, those that did not have to be read again."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


@frozen
class Timings:
    """Tokens and milliseconds of reading the prompt and of making the answer (llama.cpp's names)."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    cache_n: int = 0


class StreamMultiplexer:
    """Steps an engine for several streams: each gets its own events, whoever asks first."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._waiting: dict[int, list[Event]] = {}

    def submit(self, request: Request) -> int:
        """Queue a request, returning its number."""
        number = self.engine.submit(request)
        self._waiting[number] = []
        return number

    def next_events(self, request: int) -> list[Event]:
        """The events of this request that have come, after at least one step if there were none."""
        while not self._waiting[request]:
            events = self.engine.step()
            if not events:
                raise MachineError("the answer ended when another one at the same time failed; ask again")
            for event in events:
                waiting = self._waiting.get(event.request)
                if waiting is not None:
                    waiting.append(event)
                elif event.finish is None:
                    self.engine.cancel(event.request)
        events, self._waiting[request] = self._waiting[request], []
        return events

    def forget(self, request: int) -> None:
        """Cancel the request if it runs, and drop what has come for it."""
        self._waiting.pop(request, None)
        # A closed engine has no requests; one at work in another thread cancels at its next event.
        with contextlib.suppress(BadInput):
            self.engine.cancel(request)


class Stream:
    """Iterate for pieces of text; the work is done as you do. Close it or let it go to stop early.

    finish_reason: "stop", "length" or "cancelled", None while it runs. usage, timings: so far.
    token_ids: the tokens made so far. notices: sentences the person should see.
    """

    def __init__(
        self,
        router: StreamMultiplexer,
        text: TextStream,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        stop_ids: Sequence[int],
        notices: Sequence[str] = (),
        interventions: Sequence[Intervention] = (),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.finish_reason: FinishReason | None = None
        self.notices = list(notices)
        self.token_ids: list[int] = []
        self._text = text
        self._router = router
        self._on_progress = on_progress
        self._max_tokens = params.max_tokens
        self._n_prompt, self._n_cached = len(prompt_ids), 0
        self._started = time.monotonic()
        self._first: float | None = None
        self._last = self._started
        self._events: deque[Event] = deque()
        self._is_done = False
        self._request = router.submit(Request(prompt_ids, params, stop_ids, interventions=interventions))
        weakref.finalize(self, router.forget, self._request).atexit = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while not self._is_done:
            piece = self._advance()
            if piece:
                return piece
        raise StopIteration

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def text(self) -> str:
        """The rest of the answer at once."""
        return "".join(self)

    def close(self) -> None:
        """Stop now. Harmless when it has ended."""
        if self.finish_reason is None:
            self.finish_reason = "cancelled"
        self._is_done = True
        self._router.forget(self._request)

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(self._n_prompt, len(self.token_ids), self._n_cached)

    @property
    def timings(self) -> Timings:
        """Times so far; the first token belongs to reading the prompt."""
        first = self._last if self._first is None else self._first
        return Timings(
            prompt_n=self._n_prompt - self._n_cached,
            prompt_ms=(first - self._started) * 1000,
            predicted_n=len(self.token_ids),
            predicted_ms=(self._last - first) * 1000,
            cache_n=self._n_cached,
        )

    def _advance(self) -> str:
        """The text of the next event; after the last one, what was held back."""
        if self.finish_reason is not None:
            self._is_done = True
            self._router.forget(self._request)
            return self._text.finish()
        try:
            if not self._events:
                self._events.extend(self._router.next_events(self._request))
            return self._take(self._events.popleft())
        except BaseException:
            self.close()
            raise

    def _take(self, event: Event) -> str:
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
        piece = self._text.push(event.token)
        if self._text.stopped:
            self.finish_reason = "stop"
        elif event.finish == "length" and len(self.token_ids) != self._max_tokens:
            self.notices.append(
                f"the context of {self._router.engine.n_ctx} tokens is full: the answer ends here"
            )
        return piece
