"""POST /v1/responses: answer a conversation, in the form of OpenAI's Responses API."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from zeropoint.decoding.guidance.check import check_guide
from zeropoint.engine.session.model import Model
from zeropoint.engine.session.stream import Stream
from zeropoint.sampling.params import SamplingParams
from zeropoint.server.engine_thread import Update
from zeropoint.server.errors import ApiError, of_exception
from zeropoint.server.fields import (
    Field,
    boolean,
    checked,
    integer,
    mapping,
    number,
    one_of,
    parse_json,
    text,
)
from zeropoint.server.generation import Start, answers
from zeropoint.server.guides import tool_guide
from zeropoint.server.responses_form import ReplyItems, conversation, text_format, tool_choice, tools
from zeropoint.server.schemas import REASONING, RESPONSES_CHOICE, RESPONSES_INPUT, RESPONSES_TOOLS
from zeropoint.server.sse import EventStream, event, until_disconnected

PATH, METHOD = "/v1/responses", "POST"
SUMMARY = "Answer a conversation, in the form of OpenAI's Responses API."

_MAX_STORED = 256  # conversations, each for as long as no newer ones take its place


def _effort(value: Any, path: str) -> str | None:
    effort = mapping(value, path).get("effort")
    return None if effort is None else text(effort, f"{path}.effort")


FIELDS: Mapping[str, Field] = {
    "model": Field(text, None, "The model's name; by default the first one served."),
    "input": Field(
        conversation, None, "A text, or the items of a conversation.", is_required=True, form=RESPONSES_INPUT
    ),
    "instructions": Field(text, None, "Instructions before the conversation."),
    "tools": Field(tools, (), "Functions that the model may call.", form=RESPONSES_TOOLS),
    "tool_choice": Field(
        tool_choice, "auto", "auto, none, required, or the function to call.", form=RESPONSES_CHOICE
    ),
    "parallel_tool_calls": Field(boolean, True, "Whether an answer may have several calls."),
    "text": Field(text_format, None, "The form of the answer."),
    "reasoning": Field(
        _effort, None, "effort: how much to think, if the template has such a switch.", form=REASONING
    ),
    "max_output_tokens": Field(integer(1, 2**31 - 1), None, "The most tokens of the answer."),
    "temperature": Field(number(0, 2), None, "0 is greedy."),
    "top_p": Field(
        number(0, 1, is_open=True), None, "Keep the most probable tokens of this total probability."
    ),
    "stream": Field(boolean, False, "Send the answer in pieces."),
    "store": Field(boolean, False, "Keep the conversation, for a later previous_response_id."),
    "previous_response_id": Field(text, None, "A stored conversation to continue."),
    "truncation": Field(one_of("disabled"), "disabled", "A conversation that is too long is an error."),
}
IGNORED = frozenset(
    {
        "client_metadata",
        "include",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "stream_options",
        "user",
    }
)


async def endpoint(request: Request) -> Response:
    """Answer, or stream the answer."""
    values = checked(parse_json(await request.body()), FIELDS, IGNORED)
    pool = request.app.state.pool
    served = pool.find(values["model"])
    stored = _stored(request)
    history = _history(values, stored)
    if values["text"] is not None:
        await run_in_threadpool(check_guide, values["text"])
    reply = _Reply(served.name, values, history, stored)
    updates = answers(pool, served, [_start(values, history)], request)
    if values["stream"]:
        await anext(updates)
        return EventStream(reply.events(updates), reply.failure)
    result = await until_disconnected(request.receive, reply.collect(updates))
    return Response(status_code=499) if result is None else JSONResponse(result)


Stored = OrderedDict[str, list[dict[str, Any]]]


def _stored(request: Request) -> Stored:
    """Conversations that clients asked to keep, in the memory of this server."""
    state = request.app.state
    if not hasattr(state, "conversations"):
        state.conversations = OrderedDict()
    conversations: Stored = state.conversations
    return conversations


def _history(values: Mapping[str, Any], stored: Stored) -> list[dict[str, Any]]:
    """All messages but the instructions, which hold for one response. Raises ApiError."""
    previous = values["previous_response_id"]
    if previous is None:
        earlier = []
    elif previous in stored:
        earlier = stored[previous]
    else:
        raise ApiError(
            404,
            f"there is no response `{previous[:100]}` here; only those with store: true are kept, and the "
            f"newest {_MAX_STORED}",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    messages = [*earlier, *values["input"]]
    if not messages and not values["instructions"]:
        messages = [{"role": "user", "content": ""}]  # a probe of coding agents
    return messages


def _start(values: Mapping[str, Any], history: list[dict[str, Any]]) -> Start:
    params = SamplingParams.of(
        temperature=values["temperature"], top_p=values["top_p"], max_tokens=values["max_output_tokens"]
    )
    first = [{"role": "system", "content": values["instructions"]}] if values["instructions"] else []
    choice, effort = values["tool_choice"], values["reasoning"]
    offered = list(values["tools"]) if choice != "none" else []

    def start(model: Model) -> Stream:
        knows_effort = "reasoning_effort" in model.template.source
        guide = tool_guide(model, offered, choice, values["text"])
        return model.chat(
            [*first, *history],
            params,
            tools=offered or None,
            thinking=None if effort is None or knows_effort else effort != "none",
            template_kwargs={"reasoning_effort": effort} if effort is not None and knows_effort else None,
            guide=guide,
        )

    return start


class _Reply:
    """One response, as a whole or as events with sequence numbers."""

    def __init__(
        self, model: str, values: Mapping[str, Any], history: list[dict[str, Any]], stored: Stored
    ) -> None:
        self._id, self._created, self._model = f"resp_{uuid.uuid4().hex}", time.time(), model
        self._values, self._history, self._stored = values, history, stored
        self._items = ReplyItems()
        self._n_events = 0

    async def collect(self, updates: AsyncGenerator[tuple[int, Update]]) -> dict[str, Any]:
        """The whole response."""
        async with aclosing(updates):
            async for _, update in updates:
                for part in self._parts(update):
                    list(self._items.push(part))
                if update.stream is not None:
                    list(self._items.finish(update.stream))
                    return self._finished(update.stream)
        raise ApiError(500, "the answer ended without a result", code="internal", kind="server_error")

    async def events(self, updates: AsyncGenerator[tuple[int, Update]]) -> AsyncGenerator[bytes]:
        """The response as named events."""
        for name in ("response.created", "response.in_progress"):
            yield self._event(name, response=self._body("in_progress"))
        async with aclosing(updates):
            async for _, update in updates:
                for part in self._parts(update):
                    for name, data in self._items.push(part):
                        yield self._event(name, **data)
                if update.stream is not None:
                    for name, data in self._items.finish(update.stream):
                        yield self._event(name, **data)
                    body = self._finished(update.stream)
                    yield self._event(f"response.{body['status']}", response=body)

    def failure(self, error: BaseException) -> bytes:
        """The event of an error after the start."""
        failed = of_exception(error)
        return self._event("error", code=failed.code, message=failed.message, param=failed.param)

    def _parts(self, update: Update) -> list[Any]:
        if self._values["parallel_tool_calls"]:
            return list(update.events)
        return [part for part in update.events if getattr(part, "index", 0) == 0]

    def _event(self, name: str, /, **data: Any) -> bytes:
        number, self._n_events = self._n_events, self._n_events + 1
        return event({"type": name, "sequence_number": number, **data}, name)

    def _finished(self, stream: Stream) -> dict[str, Any]:
        is_cut_off = stream.finish_reason == "length"
        body = self._body("incomplete" if is_cut_off else "completed")
        usage = stream.usage
        body["incomplete_details"] = {"reason": "max_output_tokens"} if is_cut_off else None
        body["usage"] = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        }
        if self._values["store"]:
            self._stored[self._id] = [*self._history, *conversation(self._items.output, "output")]
            while len(self._stored) > _MAX_STORED:
                self._stored.popitem(last=False)
        return body

    def _body(self, status: str) -> dict[str, Any]:
        values = self._values
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": values["instructions"],
            "max_output_tokens": values["max_output_tokens"],
            "metadata": {},
            "model": self._model,
            "output": list(self._items.output),
            "parallel_tool_calls": values["parallel_tool_calls"],
            "previous_response_id": values["previous_response_id"],
            "reasoning": {"effort": values["reasoning"], "summary": None},
            "store": values["store"],
            "temperature": values["temperature"],
            "text": {"format": {"type": "text"}},
            "tool_choice": values["tool_choice"] if isinstance(values["tool_choice"], str) else "required",
            "tools": [{**tool["function"], "type": "function", "strict": True} for tool in values["tools"]],
            "top_p": values["top_p"],
            "truncation": "disabled",
            "usage": None,
        }
