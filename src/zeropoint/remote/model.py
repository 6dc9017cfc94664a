"""`RemoteModel`: a model on a server, with the part of `Model` that a conversation uses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zeropoint.engine.session.stream import Timings, Usage
from zeropoint.errors import BadInput, NetworkError
from zeropoint.remote.events import message_of, read_events
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, Text, ToolCall

__all__ = ["RemoteModel", "RemoteStream"]

# Our names of what every server takes; the others go along, and a server that lacks one says so.
_FINISH = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "stop"}
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 600.0


class RemoteModel:
    """A model on a server. usage: the tokens of all answers so far.

    url: the base URL of the API, with or without /v1. name: of the model; None takes the first that the
    server lists. prices: dollars per million tokens of prompts and of answers. Raises BadInput, NetworkError.
    """

    def __init__(
        self,
        url: str,
        name: str | None = None,
        key: str | None = None,
        prices: tuple[float, float] | None = None,
    ) -> None:
        import httpx2  # here: a local chat needs no network

        if not url.startswith(("http://", "https://")):
            raise BadInput(f"{url} is no URL of a server; give one such as http://127.0.0.1:11435/v1")
        base = url.rstrip("/")
        base = base if base.endswith("/v1") else f"{base}/v1"
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
        self._http = httpx2.Client(headers=headers, timeout=timeout)
        self._errors = httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError
        self._base = base
        try:
            self.name = name or self._first_model()
        except BaseException:
            self._http.close()
            raise
        self.defaults: Mapping[str, Any] = {}
        self.engine = self.blueprint = SimpleNamespace(n_ctx=2**31 - 1)  # the server knows its context
        self.usage = Usage()
        self._prices = prices

    def totals(self) -> dict[str, float]:
        """Tokens of all answers so far, and what they cost, if the prices are known."""
        totals: dict[str, float] = {
            "total_prompt_tokens": self.usage.prompt_tokens,
            "total_completion_tokens": self.usage.completion_tokens,
        }
        if self._prices is not None:
            prompt, answer = self._prices
            cost = self.usage.prompt_tokens * prompt + self.usage.completion_tokens * answer
            totals["total_cost_dollars"] = cost / 1e6
        return totals

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], **_: Any) -> list[int]:
        """No tokens: the server has the tokenizer."""
        return []

    def save_cache(self, ids: Sequence[int], path: Path) -> int:
        """Saves nothing: the server has the cache."""
        return 0

    def load_cache(self, path: Path) -> list[int]:
        """Raises BadInput: a cache of keys and values belongs to a model that is loaded here."""
        raise BadInput("the model is on a server, which has a cache of its own")

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        *,
        thinking: bool | None = None,
        logprobs: bool = False,
        top_logprobs: int = 0,
        guide: object = None,
    ) -> RemoteStream:
        """Answer a conversation, as `Model.chat`. Raises BadInput, NetworkError."""
        if logprobs or guide is not None:
            raise BadInput("log-probabilities and guides are not available with --url")
        body: dict[str, Any] = {
            "model": self.name,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        flat = (params or SamplingParams()).flat()
        for ours in ("stop_repetition", "speculate"):
            flat.pop(ours, None)
        body |= {name: list(value) if isinstance(value, tuple) else value for name, value in flat.items()}
        if thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        request = self._http.build_request("POST", f"{self._base}/chat/completions", json=body)
        try:
            response = self._http.send(request, stream=True)
            if response.status_code != 200:
                response.read()
        except self._errors as error:
            raise self._failure(error) from None
        self._check(response)
        return RemoteStream(self, response, self._errors)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> RemoteModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _first_model(self) -> str:
        try:
            response = self._http.get(f"{self._base}/models")
        except self._errors as error:
            raise self._failure(error) from None
        self._check(response)
        try:
            return str(response.json()["data"][0]["id"])
        except (ValueError, KeyError, IndexError, TypeError):
            raise NetworkError(f"{self._base}/models lists no model; name one with --model") from None

    def _check(self, response: Any) -> None:
        if response.status_code == 200:
            return
        try:
            message = message_of(json.loads(response.content))
        except (ValueError, RecursionError):
            message = " ".join(response.text.split())[:200] or response.reason_phrase
        kind = BadInput if 400 <= response.status_code < 500 else NetworkError
        raise kind(f"{self._base} answered with status {response.status_code}: {message}")

    def _failure(self, error: Exception) -> NetworkError:
        reason = str(error) or type(error).__name__
        return NetworkError(f"{self._base} cannot be reached: {reason}; is the server running?")


class RemoteStream:
    """An answer that arrives, with the interface of `Stream`."""

    logprobs: Sequence[Any] = ()

    def __init__(self, model: RemoteModel, response: Any, errors: tuple[type[Exception], ...]) -> None:
        self.finish_reason: str | None = None
        self.notices: list[str] = []
        self.usage = Usage()
        self.reasoning = ""
        self.tool_calls: list[ToolCall] = []
        self._model, self._response, self._errors = model, response, errors
        self._started = self._last = time.monotonic()
        self._first: float | None = None
        self._calls: dict[int, dict[str, str]] = {}

    def events(self) -> Iterator[ReplyEvent]:
        """Text, reasoning and calls as they arrive. Raises NetworkError."""
        try:
            for event in read_events(self._response.iter_lines()):
                yield from self._handle(event)
        except self._errors as error:
            reason = str(error) or type(error).__name__
            raise NetworkError(f"the connection to the server broke: {reason}") from None
        finally:
            self.close()
        for index, call in sorted(self._calls.items()):
            done = ToolCall(index, call["name"], call["arguments"] or "{}")
            self.tool_calls.append(done)
            yield done

    def close(self) -> None:
        """Stop the answer; the server then stops computing it."""
        if self.finish_reason is None:
            self.finish_reason = "cancelled"
        self._response.close()

    @property
    def timings(self) -> Timings:
        """Times as seen from here: the first token counts as part of the prompt."""
        first = self._last if self._first is None else self._first
        return Timings(
            prompt_n=self.usage.prompt_tokens - self.usage.cached_tokens,
            prompt_ms=(first - self._started) * 1000,
            predicted_n=self.usage.completion_tokens,
            predicted_ms=(self._last - first) * 1000,
            cache_n=self.usage.cached_tokens,
        )

    def _handle(self, event: dict[str, Any]) -> Iterator[ReplyEvent]:
        self._last = time.monotonic()
        if isinstance(counts := event.get("usage"), dict):
            self._count(counts)
        choice = next(iter(event.get("choices") or []), None)
        if not isinstance(choice, dict):
            return
        if choice.get("finish_reason") is not None:
            self.finish_reason = _FINISH.get(str(choice["finish_reason"]), "stop")
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if (thought or delta.get("content")) and self._first is None:
            self._first = self._last
        if isinstance(thought, str) and thought:
            self.reasoning += thought
            yield Reasoning(thought)
        if isinstance(content := delta.get("content"), str) and content:
            yield Text(content)
        for part in delta.get("tool_calls") or []:
            call = self._calls.setdefault(int(part.get("index", 0)), {"name": "", "arguments": ""})
            function = part.get("function") or {}
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""

    def _count(self, counts: dict[str, Any]) -> None:
        details = counts.get("prompt_tokens_details") or {}
        self.usage = Usage(
            int(counts.get("prompt_tokens") or 0),
            int(counts.get("completion_tokens") or 0),
            int(details.get("cached_tokens") or 0),
        )
        total = self._model.usage
        self._model.usage = Usage(
            total.prompt_tokens + self.usage.prompt_tokens,
            total.completion_tokens + self.usage.completion_tokens,
            total.cached_tokens + self.usage.cached_tokens,
        )
