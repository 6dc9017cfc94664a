"""POST /v1/messages: answer a conversation, in the form of Anthropic's API."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.engine.session.model import Model
from zeropoint.engine.session.stream import Stream
from zeropoint.sampling.params import SamplingParams
from zeropoint.server.anthropic_form import conversation, system, thinking, tool_choice, tools
from zeropoint.server.engine_thread import Update
from zeropoint.server.errors import ApiError, of_exception
from zeropoint.server.fields import Field, boolean, checked, integer, items, number, parse_json, text
from zeropoint.server.generation import Start, answers
from zeropoint.server.guides import tool_guide
from zeropoint.server.schemas import (
    ANTHROPIC_MESSAGES,
    ANTHROPIC_SYSTEM,
    ANTHROPIC_TOOL_CHOICE,
    ANTHROPIC_TOOLS,
    THINKING,
)
from zeropoint.server.sse import EventStream, event, until_disconnected
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, ToolCall

PATH, METHOD = "/v1/messages", "POST"
SUMMARY = "Answer a conversation, in the form of Anthropic's API."

PROMPT_FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name."),
    "messages": Field(conversation, None, "The conversation.", is_required=True, form=ANTHROPIC_MESSAGES),
    "system": Field(system, None, "Instructions before the conversation.", form=ANTHROPIC_SYSTEM),
    "tools": Field(tools, (), "Functions that the model may call.", form=ANTHROPIC_TOOLS),
    "tool_choice": Field(
        tool_choice, "auto", "Whether, or which, tools are called.", form=ANTHROPIC_TOOL_CHOICE
    ),
    "thinking": Field(thinking, None, "Whether to reason before the answer.", form=THINKING),
}
FIELDS: Mapping[str, Field] = {
    **PROMPT_FIELDS,
    "max_tokens": Field(integer(1, 2**31 - 1), None, "The most tokens of the answer.", is_required=True),
    "stop_sequences": Field(items(text, 0, 4), (), "Texts at which the answer ends."),
    "stream": Field(boolean, False, "Send the answer in pieces."),
    "temperature": Field(number(0, 2), None, "0 is greedy."),
    "top_p": Field(
        number(0, 1, is_open=True), None, "Keep the most probable tokens of this total probability."
    ),
    "top_k": Field(integer(0, 2**31 - 1), None, "Keep this many tokens."),
}
IGNORED = frozenset({"metadata", "service_tier", "container", "context_management", "betas", "output_config"})


async def endpoint(request: Request) -> Response:
    """Answer, or stream the answer; errors have Anthropic's form, too."""
    try:
        values = checked(parse_json(await request.body()), FIELDS, IGNORED)
        pool = request.app.state.pool
        served = pool.find(values["model"])
        updates = answers(pool, served, [_start(values)], request)
        head = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant", "model": served.name}
        if values["stream"]:
            await anext(updates)
            return EventStream(_events(updates, head), _failure_event)
        result = await until_disconnected(request.receive, _collect(updates, head))
    except Exception as error:
        return error_response(error)
    return Response(status_code=499) if result is None else JSONResponse(result)


def prompt_messages(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The whole conversation, with its system prompt."""
    first = [{"role": "system", "content": values["system"]}] if values["system"] else []
    return [*first, *values["messages"]]


def error_response(error: BaseException) -> Response:
    """An error in Anthropic's form."""
    failure = of_exception(error)
    return JSONResponse(_error_body(failure), failure.status, failure.headers)


def _start(values: Mapping[str, Any]) -> Start:
    flat = {name: values[name] for name in ("temperature", "top_p", "top_k")}
    if flat["top_k"] == 0:
        flat["top_k"] = None
    params = SamplingParams.of(**flat, max_tokens=values["max_tokens"], stop=tuple(values["stop_sequences"]))
    choice = values["tool_choice"]
    offered = list(values["tools"]) if choice != "none" else []

    def start(model: Model) -> Stream:
        guide = tool_guide(model, offered, choice, None)
        return model.chat(
            prompt_messages(values), params, tools=offered or None, thinking=values["thinking"], guide=guide
        )

    return start


async def _collect(updates: AsyncGenerator[tuple[int, Update]], head: dict[str, Any]) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    stream: Stream | None = None
    async with aclosing(updates):
        async for _, update in updates:
            for part in update.events:
                _append(blocks, part)
            stream = update.stream or stream
    if stream is None:
        raise ApiError(500, "the answer ended without a result", code="internal", kind="server_error")
    return {**head, "content": blocks, **_ending(stream), "usage": _usage(stream)}


def _append(blocks: list[dict[str, Any]], part: ReplyEvent) -> None:
    """Add a part of the reply to the blocks, to the last one if it is of the same kind."""
    block = _block(part)
    if isinstance(part, ToolCall):
        blocks.append(block | {"input": json.loads(part.arguments)})
        return
    if not blocks or blocks[-1]["type"] != block["type"]:
        blocks.append(block)
    key = "thinking" if isinstance(part, Reasoning) else "text"
    blocks[-1][key] += part.text


async def _events(updates: AsyncGenerator[tuple[int, Update]], head: dict[str, Any]) -> AsyncGenerator[bytes]:
    """message_start, then each block with its deltas, then message_delta and message_stop."""

    def named(kind: str, /, **data: Any) -> bytes:
        return event({"type": kind, **data}, kind)

    no_usage = {"input_tokens": 0, "output_tokens": 0}
    message = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": no_usage}
    yield named("message_start", message=message)
    index, open_type = -1, ""
    async with aclosing(updates):
        async for _, update in updates:
            for part in update.events:
                block = _block(part)
                if block["type"] != open_type or isinstance(part, ToolCall):
                    if open_type:
                        yield named("content_block_stop", index=index)
                    index, open_type = index + 1, block["type"]
                    yield named("content_block_start", index=index, content_block=block)
                yield named("content_block_delta", index=index, delta=_delta(part))
            if update.stream is not None:
                if open_type:
                    yield named("content_block_stop", index=index)
                yield named("message_delta", delta=_ending(update.stream), usage=_usage(update.stream))
    yield named("message_stop")


def _block(part: ReplyEvent) -> dict[str, Any]:
    """An empty block of the kind of this part."""
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:24]}", "name": part.name, "input": {}}
    if isinstance(part, Reasoning):
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _delta(part: ReplyEvent) -> dict[str, Any]:
    if isinstance(part, ToolCall):
        return {"type": "input_json_delta", "partial_json": part.arguments}
    if isinstance(part, Reasoning):
        return {"type": "thinking_delta", "thinking": part.text}
    return {"type": "text_delta", "text": part.text}


def _ending(stream: Stream) -> dict[str, Any]:
    """Why the answer ended."""
    if stream.tool_calls:
        return {"stop_reason": "tool_use", "stop_sequence": None}
    if stream.stopped_by:
        return {"stop_reason": "stop_sequence", "stop_sequence": stream.stopped_by}
    reason = "max_tokens" if stream.finish_reason == "length" else "end_turn"
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(stream: Stream) -> dict[str, int]:
    usage = stream.usage
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
    }


_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
}


def _error_body(failure: ApiError) -> dict[str, Any]:
    kind = _KINDS.get(failure.status, "invalid_request_error" if failure.status < 500 else "api_error")
    if failure.status == 429:
        kind = "rate_limit_error"
    return {"type": "error", "error": {"type": kind, "message": failure.message}}


def _failure_event(error: BaseException) -> bytes:
    return event(_error_body(of_exception(error)), "error")
