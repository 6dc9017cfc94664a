"""POST /v1/completions: continue texts verbatim, and score them with `echo`."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.engine.session.logprobs import TokenLogprob
from zeropoint.engine.session.model import Model
from zeropoint.engine.session.score import Score
from zeropoint.engine.session.stream import Stream
from zeropoint.server.engine_thread import AnyModel, Update, writer
from zeropoint.server.fields import Field, boolean, checked, integer, parse_json, refuse, text
from zeropoint.server.generation import (
    IGNORED,
    SAMPLING,
    Start,
    answers,
    finish_reason,
    sampling_params,
    serving,
)
from zeropoint.server.prompts import Prompt, prompts
from zeropoint.server.sse import DONE, EventStream, event, until_disconnected
from zeropoint.tokenizers.chat.reply.events import ToolCall

PATH, METHOD = "/v1/completions", "POST"
SUMMARY = "Continue texts verbatim, without a chat template."

_MAX_PROMPTS = 128

FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "prompt": Field(prompts(_MAX_PROMPTS), None, "A text, token ids, or a list of either.", is_required=True),
    **SAMPLING,
    "max_tokens": Field(integer(0, 2**31 - 1), 16, "The most new tokens; 0 only with echo."),
    "echo": Field(boolean, False, "Return the prompt before the continuation."),
    "logprobs": Field(integer(0, 20), None, "Log-probabilities of the tokens, and of this many likeliest."),
    "best_of": Field(integer(1, 128), None, "Accepted if it equals n."),
}
HINTS = {"suffix": "give the whole prompt", "logit_bias": "it is not available yet"}


async def endpoint(request: Request) -> Response:
    """Continue, or stream the continuation."""
    values = checked(parse_json(await request.body()), FIELDS, IGNORED, HINTS)
    if values["best_of"] not in (None, values["n"]):
        raise refuse("best_of", values["best_of"], "equal to n")
    if values["max_tokens"] == 0 and not values["echo"]:
        raise refuse("max_tokens", 0, "at least 1 without echo")
    pool = request.app.state.pool
    served = pool.find(values["model"])
    head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    head["model"] = served.name
    work = _Work(request, pool, served, values)
    if values["stream"]:
        parts = work.parts()
        first = await anext(parts)
        return EventStream(_chunks(first, parts, head, values))
    result = await until_disconnected(request.receive, _collect(work.parts(), head))
    return Response(status_code=499) if result is None else JSONResponse(result)


class _Work:
    """The texts of one request, one prompt after another."""

    def __init__(self, request: Request, pool: Any, served: Any, values: Mapping[str, Any]) -> None:
        self._request, self._pool, self._served, self._values = request, pool, served, values

    async def parts(self) -> AsyncGenerator[tuple[int, dict[str, Any], Stream | None, int]]:
        """(choice, {text, logprobs, finish_reason}, the finished stream, prompt tokens without one)."""
        values, n = self._values, self._values["n"]
        for number, prompt in enumerate(values["prompt"]):
            echo: dict[str, Any] | None = None
            if values["echo"]:
                echo, n_prompt = await self._echo(prompt)
                if values["max_tokens"] == 0:
                    for index in range(n):
                        yield number * n + index, {**echo, "finish_reason": "length"}, None, n_prompt
                    continue
            starts = [self._start(prompt, index) for index in range(n)]
            offsets = [len(echo["text"]) if echo else 0] * n
            async with aclosing(answers(self._pool, self._served, starts, self._request)) as updates:
                async for index, update in updates:
                    is_first = not (update.events or update.logprobs or update.stream)
                    if is_first and echo is None and index:
                        continue
                    if is_first:
                        yield number * n + index, echo or _part("", None), None, 0
                        continue
                    part = self._part(update, offsets[index])
                    offsets[index] += sum(len(token.token) for token in update.logprobs)
                    yield number * n + index, part, update.stream, 0

    async def _echo(self, prompt: Prompt) -> tuple[dict[str, Any], int]:
        """The prompt as the first part of the answer, with its log-probabilities if they are wanted."""
        wanted = self._values["logprobs"]

        def read(served: AnyModel) -> tuple[str, Score | None, list[int]]:
            model = writer(served)
            ids = model.tokenize(prompt) if isinstance(prompt, str) else prompt
            score = model.score(ids, top=wanted) if wanted is not None else None
            return (prompt if isinstance(prompt, str) else model.detokenize(ids)), score, ids

        async with serving(self._pool, self._served) as thread:
            content, score, ids = await thread.call(read)
        return _part(content, None if score is None else _score_logprobs(score)), len(ids)

    def _start(self, prompt: Prompt, index: int) -> Start:
        wanted = self._values["logprobs"]
        params = sampling_params(self._values, self._values["max_tokens"], index)

        def start(model: Model) -> Stream:
            return model.generate(prompt, params, logprobs=wanted is not None, top_logprobs=wanted or 0)

        return start

    def _part(self, update: Update, offset: int) -> dict[str, Any]:
        content = "".join(e.text for e in update.events if not isinstance(e, ToolCall))
        logprobs = _logprobs(update.logprobs, offset) if self._values["logprobs"] is not None else None
        reason = None if update.stream is None else finish_reason(update.stream)
        return _part(content, logprobs, reason)


async def _collect(parts: AsyncGenerator[Any], head: dict[str, Any]) -> dict[str, Any]:
    """The whole response."""
    choices: dict[int, dict[str, Any]] = {}
    counts = _Counts()
    async with aclosing(parts):
        async for index, part, stream, n_prompt in parts:
            choice = choices.setdefault(
                index, {"index": index, "text": "", "logprobs": None, "finish_reason": None}
            )
            choice["text"] += part["text"]
            choice["finish_reason"] = part["finish_reason"]
            if part["logprobs"] is not None:
                choice["logprobs"] = _joined(choice["logprobs"], part["logprobs"])
            counts.add(stream, n_prompt)
    return {**head, "choices": [choice for _, choice in sorted(choices.items())], "usage": counts.usage()}


async def _chunks(
    first: Any, parts: AsyncGenerator[Any], head: dict[str, Any], values: Mapping[str, Any]
) -> AsyncGenerator[bytes]:
    no_usage = {"usage": None} if values["stream_options"] else {}
    counts = _Counts()
    async with aclosing(parts):
        index, part, stream, n_prompt = first
        while True:
            counts.add(stream, n_prompt)
            if part["text"] or part["logprobs"] or part["finish_reason"]:
                yield event({**head, "choices": [{"index": index, **part}], **no_usage})
            try:
                index, part, stream, n_prompt = await anext(parts)
            except StopAsyncIteration:
                break
    if values["stream_options"]:
        yield event({**head, "choices": [], "usage": counts.usage()})
    yield DONE


class _Counts:
    """Token counts over the choices of a request."""

    def __init__(self) -> None:
        self._prompt = self._completion = self._cached = 0

    def add(self, stream: Stream | None, n_prompt: int) -> None:
        if stream is not None:
            self._prompt += stream.usage.prompt_tokens
            self._cached += stream.usage.cached_tokens
            self._completion += stream.usage.completion_tokens
        self._prompt += n_prompt

    def usage(self) -> dict[str, Any]:
        total = self._prompt + self._completion
        details = {"cached_tokens": self._cached}
        counts = {"prompt_tokens": self._prompt, "completion_tokens": self._completion}
        return {**counts, "total_tokens": total, "prompt_tokens_details": details}


def _part(content: str, logprobs: dict[str, Any] | None, reason: str | None = None) -> dict[str, Any]:
    return {"text": content, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(tokens: list[TokenLogprob], offset: int) -> dict[str, Any]:
    """In the form of this endpoint: parallel lists."""
    result: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for token in tokens:
        result["tokens"].append(token.token)
        result["token_logprobs"].append(token.logprob)
        result["top_logprobs"].append({other.token: other.logprob for other in token.top})
        result["text_offset"].append(offset)
        offset += len(token.token)
    return result


def _score_logprobs(score: Score) -> dict[str, Any]:
    result: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    offset = 0
    alternatives = score.alternatives or [None] * len(score.token_ids)
    for content, logprob, others in zip(score.texts, score.logprobs, alternatives, strict=True):
        result["tokens"].append(content)
        result["token_logprobs"].append(logprob)
        top = None if others is None else {score.spelling[index]: value for index, value in others.top}
        result["top_logprobs"].append(top)
        result["text_offset"].append(offset)
        offset += len(content)
    return result


def _joined(first: dict[str, Any] | None, second: dict[str, Any]) -> dict[str, Any]:
    return second if first is None else {key: first[key] + second[key] for key in first}
