"""POST /v1/chat/completions: answer a conversation."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.decoding.guidance.check import check_guide
from zeropoint.decoding.guidance.guide import Guide
from zeropoint.engine.session.logprobs import TokenLogprob
from zeropoint.engine.session.model import Model
from zeropoint.engine.session.stream import Stream
from zeropoint.server.chat_messages import messages, tools
from zeropoint.server.engine_thread import Update
from zeropoint.server.errors import ApiError
from zeropoint.server.fields import Field, boolean, checked, integer, items, mapping, parse_json, refuse, text
from zeropoint.server.generation import (
    IGNORED,
    SAMPLING,
    Start,
    answers,
    finish_reason,
    sampling_params,
    usage,
)
from zeropoint.server.guides import response_format, structured_outputs, tool_guide
from zeropoint.server.schemas import FUNCTION_CHOICE, MESSAGES, RESPONSE_FORMAT, STRUCTURED_OUTPUTS, TOOLS
from zeropoint.server.sse import DONE, EventStream, event, until_disconnected
from zeropoint.tokenizers.chat.reply.events import Reasoning, Text, ToolCall

PATH, METHOD = "/v1/chat/completions", "POST"
SUMMARY = "Answer a conversation."


def _tool_choice(value: Any, path: str) -> str | dict[str, Any]:
    if value in ("none", "auto", "required"):
        return str(value)
    function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        expected = '"none", "auto", "required" or {"type": "function", "function": {"name": NAME}}'
        raise refuse(path, value, expected)
    return function


def _modalities(value: Any, path: str) -> None:
    if value != ["text"]:
        raise refuse(path, value, '["text"]')


def _store(value: Any, path: str) -> None:
    if value is not False:
        raise refuse(path, value, "false: this server keeps no conversations")


FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "messages": Field(messages, None, "The conversation.", is_required=True, form=MESSAGES),
    **SAMPLING,
    "max_completion_tokens": Field(integer(1, 2**31 - 1), None, "The most tokens of an answer."),
    "max_tokens": Field(integer(1, 2**31 - 1), None, "The former name of max_completion_tokens."),
    "logprobs": Field(boolean, False, "Return the log-probability of each token of the answer."),
    "named_logprobs": Field(
        items(integer(0, 2**31 - 1), 0, 64), (), "Also those of these tokens, by their ids."
    ),
    "top_logprobs": Field(integer(0, 20), 0, "Also those of the most probable tokens in its place."),
    "tools": Field(tools, (), "Functions that the model may call.", form=TOOLS),
    "tool_choice": Field(
        _tool_choice, "auto", "auto, none, required, or the function to call.", form=FUNCTION_CHOICE
    ),
    "parallel_tool_calls": Field(boolean, True, "Whether an answer may have several calls."),
    "reasoning_effort": Field(text, None, "How much to think, for models whose template has such a switch."),
    "chat_template_kwargs": Field(mapping, None, "Other variables of the chat template."),
    "response_format": Field(
        response_format, None, "text, json_object or json_schema.", form=RESPONSE_FORMAT
    ),
    "structured_outputs": Field(
        structured_outputs, None, "json, regex, choice or grammar.", form=STRUCTURED_OUTPUTS
    ),
    "modalities": Field(_modalities, form={"const": ["text"]}),
    "store": Field(_store, form={"const": False}),
}
HINTS = {
    "functions": "use tools",
    "function_call": "use tool_choice",
    "audio": "this server writes text only",
    "web_search_options": "give a tool that searches",
    "guided_json": "use response_format",
    "guided_regex": "use structured_outputs",
    "guided_choice": "use structured_outputs",
    "guided_grammar": "use structured_outputs",
}


async def endpoint(request: Request) -> Response:
    """Answer, or stream the answer."""
    values = checked(parse_json(await request.body()), FIELDS, IGNORED, HINTS)
    pool = request.app.state.pool
    served = pool.find(values["model"])
    guide = values["response_format"] or values["structured_outputs"]
    if guide is not None:
        await run_in_threadpool(check_guide, guide)
    starts = [_start(values, index, guide) for index in range(values["n"])]
    head = _Head(served.name)
    if values["stream"]:
        updates = answers(pool, served, starts, request)
        await anext(updates)  # the request was accepted; an error until here has a status of its own
        return EventStream(_chunks(updates, head, values))
    result = await until_disconnected(
        request.receive, _collect(answers(pool, served, starts, request), head, values)
    )
    return Response(status_code=499) if result is None else JSONResponse(result)


def _start(values: Mapping[str, Any], index: int, guide: Guide | None) -> Start:
    """What begins answer number `index`. Raises ApiError."""
    limits = values["max_completion_tokens"], values["max_tokens"]
    if None not in limits and limits[0] != limits[1]:
        raise ApiError(
            400,
            "max_tokens and max_completion_tokens differ; give one of them",
            param="max_tokens",
            code="invalid_value",
        )
    params = sampling_params(values, limits[0] or limits[1], index)
    for name in ("top_logprobs", "named_logprobs"):
        if values[name] and not values["logprobs"]:
            raise ApiError(400, f"{name} needs logprobs: true", param=name, code="invalid_value")
    variables = dict(values["chat_template_kwargs"] or {})
    if values["reasoning_effort"] is not None:
        variables["reasoning_effort"] = values["reasoning_effort"]
    offered = list(values["tools"]) if values["tool_choice"] != "none" else []
    choice = values["tool_choice"]
    if choice not in ("none", "auto") and guide is not None:
        raise ApiError(
            400,
            "tool_choice and response_format exclude each other",
            param="tool_choice",
            code="invalid_value",
        )

    def start(model: Model) -> Stream:
        return model.chat(
            values["messages"],
            params,
            logprobs=values["logprobs"],
            top_logprobs=values["top_logprobs"],
            named_logprobs=values["named_logprobs"],
            tools=offered or None,
            thinking=_thinking(model, values["reasoning_effort"]),
            template_kwargs=variables,
            guide=tool_guide(model, offered, choice, guide),
        )

    return start


def _thinking(model: Model, effort: str | None) -> bool | None:
    """Templates that only turn reasoning on and off know no effort but "none"."""
    if effort is None or "reasoning_effort" in model.template.source:
        return None
    return effort != "none"


class _Head:
    """What all parts of a response share."""

    def __init__(self, model: str) -> None:
        self.id, self.created, self.model = f"chatcmpl-{uuid.uuid4().hex}", int(time.time()), model

    def body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        shared = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**shared, "choices": choices}


async def _collect(
    updates: AsyncGenerator[tuple[int, Update]], head: _Head, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole response."""
    texts: dict[int, list[str]] = {}
    streams: dict[int, Stream] = {}
    async with aclosing(updates):
        async for index, update in updates:
            texts.setdefault(index, []).extend(e.text for e in update.events if isinstance(e, Text))
            if update.stream is not None:
                streams[index] = update.stream
    choices = [
        _choice(index, "".join(texts[index]), stream, values) for index, stream in sorted(streams.items())
    ]
    ordered = [stream for _, stream in sorted(streams.items())]
    return {
        **head.body("chat.completion", choices),
        "usage": usage(ordered),
        "timings": _timings(ordered[0]),
    }


def _choice(index: int, content: str, stream: Stream, values: Mapping[str, Any]) -> dict[str, Any]:
    calls = stream.tool_calls if values["parallel_tool_calls"] else stream.tool_calls[:1]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content or (None if calls else ""),
        "refusal": None,
    }
    if stream.reasoning:
        message["reasoning_content"] = stream.reasoning
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    return {
        "index": index,
        "message": message,
        "finish_reason": finish_reason(stream),
        "logprobs": _logprobs(stream.logprobs) if values["logprobs"] else None,
    }


async def _chunks(
    updates: AsyncGenerator[tuple[int, Update]], head: _Head, values: Mapping[str, Any]
) -> AsyncGenerator[bytes]:
    """The response as events."""
    no_usage = {"usage": None} if values["stream_options"] else {}

    def chunk(index: int, delta: dict[str, Any], **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return event({**head.body("chat.completion.chunk", [choice]), **no_usage})

    streams: list[Stream] = []
    for index in range(values["n"]):
        yield chunk(index, {"role": "assistant", "content": ""})
    async with aclosing(updates):
        async for index, update in updates:
            logprobs = _logprobs(update.logprobs) if update.logprobs else None
            for delta in _deltas(update, values):
                yield chunk(index, delta, logprobs=logprobs)
                logprobs = None
            if logprobs is not None:
                yield chunk(index, {"content": ""}, logprobs=logprobs)
            if update.stream is not None:
                streams.append(update.stream)
                yield chunk(index, {}, finish_reason=finish_reason(update.stream))
    if values["stream_options"]:
        yield event({**head.body("chat.completion.chunk", []), "usage": usage(streams)})
    yield DONE


def _deltas(update: Update, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The changes of the message that an update brings, pieces of the same kind together."""
    deltas: list[dict[str, Any]] = []
    for part in update.events:
        if isinstance(part, ToolCall):
            if part.index == 0 or values["parallel_tool_calls"]:
                deltas.append({"tool_calls": [{"index": part.index, **_call(part)}]})
            continue
        key = "reasoning_content" if isinstance(part, Reasoning) else "content"
        if deltas and key in deltas[-1]:
            deltas[-1][key] += part.text
        else:
            deltas.append({key: part.text})
    return deltas


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _logprobs(tokens: list[TokenLogprob]) -> dict[str, Any]:
    return {"content": [token.as_json() for token in tokens], "refusal": None}


def _timings(stream: Stream) -> dict[str, Any]:
    timings = stream.timings
    return {
        "prompt_n": timings.prompt_n,
        "prompt_ms": timings.prompt_ms,
        "predicted_n": timings.predicted_n,
        "predicted_ms": timings.predicted_ms,
        "cache_n": timings.cache_n,
    }
