"""The fields that all kinds of generation share, and running the answers of one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from starlette.requests import Request

from zeropoint.engine.session.model import Model
from zeropoint.engine.session.stream import Stream
from zeropoint.errors import BadInput
from zeropoint.options import Option
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.params import options as sampling_options
from zeropoint.server.engine_thread import Answer, EngineThread, Update
from zeropoint.server.errors import ApiError
from zeropoint.server.fields import Check, Field, boolean, integer, items, mapping, one_of, text
from zeropoint.server.models import ModelPool, Served
from zeropoint.server.schemas import LOGIT_BIAS, STOPS

__all__ = ["IGNORED", "SAMPLING", "Start", "answers", "finish_reason", "sampling_params", "serving", "usage"]

Start = Callable[[Model], Stream]

# Clients send these by default, and they change nothing here.
IGNORED = frozenset(
    {
        "include_obfuscation",
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "user",
        "verbosity",
    }
)
_MAX_STOPS = 4
# Checked below, in OpenAI's form.
_ELSEWHERE = ("logit_bias", "max_tokens", "seed", "speculate", "stop", "stop_repetition")


def _of_option(option: Option) -> Check:
    """What a sampling parameter accepts."""

    def check(value: Any, path: str) -> Any:
        try:
            return option.check(value)
        except BadInput as error:
            raise ApiError(400, str(error), param=path, code="invalid_value") from None

    check.schema = _schema_of(option)  # type: ignore[attr-defined]
    return check


def _schema_of(option: Option) -> dict[str, Any]:
    if option.type is bool:
        return {"type": "boolean"}
    low = "exclusiveMinimum" if option.is_open else "minimum"
    high = "exclusiveMaximum" if option.is_open_above else "maximum"
    bounds = {low: option.minimum, high: option.maximum}
    kind = "integer" if option.type is int else "number"
    return {"type": kind} | {key: value for key, value in bounds.items() if value is not None}


def _of_params(name: str, value: Any, path: str) -> None:
    """Let the sampling parameters check a value."""
    try:
        SamplingParams.of(**{name: value})
    except BadInput as error:
        raise ApiError(400, str(error), param=path, code="invalid_value") from None


def _stops(value: Any, path: str) -> list[str]:
    return [text(value, path)] if isinstance(value, str) else items(text, 0, _MAX_STOPS)(value, path)


def _stream_options(value: Any, path: str) -> bool:
    if not isinstance(value, dict) or not set(value) <= {"include_usage", "include_obfuscation"}:
        raise ApiError(400, f"{path} takes include_usage, true or false", param=path, code="invalid_value")
    return boolean(value.get("include_usage", False), f"{path}.include_usage")


def _logit_bias(value: Any, path: str) -> dict[str, Any]:
    biases = mapping(value, path)
    _of_params("logit_bias", biases, path)
    return biases


def _speculate(value: Any, path: str) -> str:
    """A draft model is the owner's choice: a client must not make the server load models."""
    option = next(option for option in sampling_options() if option.name == "speculate")
    return str(one_of(*option.allowed())(value, path))


SAMPLING: Mapping[str, Field] = {
    **{
        option.name: Field(_of_option(option), None, option.help)
        for option in sampling_options()
        if option.name not in _ELSEWHERE
    },
    "seed": Field(integer(-(2**63), 2**64 - 1), None, "Fixes all random choices."),
    "stop": Field(
        _stops, (), "Up to four texts at which the answer ends; they are not part of it.", form=STOPS
    ),
    "logit_bias": Field(
        _logit_bias, None, "Numbers to add to the logits of tokens, by their ids.", form=LOGIT_BIAS
    ),
    "speculate": Field(_speculate, None, "How to guess the next tokens; answers stay the same."),
    "n": Field(integer(1, 128), 1, "How many answers to give."),
    "stream": Field(boolean, False, "Send the answer in pieces, as it is written."),
    "stream_options": Field(_stream_options, False, "include_usage: end a stream with the token counts."),
}


def sampling_params(values: Mapping[str, Any], max_tokens: int | None, index: int = 0) -> SamplingParams:
    """The parameters of answer number `index`. Raises ApiError."""
    flat = {name: values[name] for name in SAMPLING if name in values}
    for name in ("n", "stream", "stream_options"):
        flat.pop(name)
    if flat["seed"] is not None:
        flat["seed"] = (flat["seed"] + index) % 2**64
    flat["stop"] = tuple(flat["stop"]) or None
    try:
        return SamplingParams.of(**flat, max_tokens=max_tokens)
    except BadInput as error:
        raise ApiError(400, str(error), param=str(error).split(" ", 1)[0], code="invalid_value") from None


@asynccontextmanager
async def serving(pool: ModelPool, served: Served) -> AsyncGenerator[EngineThread]:
    """The engine of a model, loaded and kept loaded for the duration of a request."""
    served.n_users += 1
    try:
        yield await pool.thread(served)
    finally:
        served.n_users -= 1


async def answers(
    pool: ModelPool, served: Served, starts: Sequence[Start], request: Request
) -> AsyncGenerator[tuple[int, Update]]:
    """The updates of a request's answers, with their numbers; the first of each is empty, and means that the
    request was accepted. Loads the model first if necessary. Raises ApiError.

    The other answers start once the first has read the prompt, so that they take it from the cache.
    """
    async with serving(pool, served) as thread, aclosing(_run(thread, starts, request)) as updates:
        async for item in updates:
            yield item


async def _run(
    thread: EngineThread, starts: Sequence[Start], request: Request
) -> AsyncGenerator[tuple[int, Update]]:
    client = request.state.client_id
    queue: asyncio.Queue[tuple[int, Update | BaseException]] = asyncio.Queue()
    n_open, tasks = len(starts), list[asyncio.Task[None]]()

    async def forward(index: int, answer: Answer) -> None:
        try:
            async for update in answer:
                queue.put_nowait((index, update))
        except Exception as error:
            queue.put_nowait((index, error))

    def start(index: int) -> None:
        tasks.append(asyncio.create_task(forward(index, thread.answer(starts[index], client))))

    start(0)
    try:
        while n_open:
            index, update = await queue.get()
            if isinstance(update, BaseException):
                raise update
            has_read = update.events or update.stream is not None
            if has_read and len(tasks) < len(starts):
                for other in range(1, len(starts)):
                    start(other)
            n_open -= update.stream is not None
            yield index, update
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def finish_reason(stream: Stream) -> str:
    """Why an answer ended, in OpenAI's words."""
    if stream.tool_calls:
        return "tool_calls"
    return "length" if stream.finish_reason == "length" else "stop"


def usage(streams: Sequence[Stream]) -> dict[str, Any]:
    """Token counts of a request; its answers share the prompt."""
    prompt = streams[0].usage.prompt_tokens
    completion = sum(stream.usage.completion_tokens for stream in streams)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": streams[0].usage.cached_tokens},
    }
