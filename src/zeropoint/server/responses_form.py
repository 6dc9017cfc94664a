"""OpenAI's Responses API: its input as a conversation, and a reply as its items and events."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from zeropoint.decoding.guidance.guide import Guide
from zeropoint.engine.session.stream import Stream
from zeropoint.server.chat_messages import content_of
from zeropoint.server.fields import items, mapping, refuse, text
from zeropoint.server.guides import response_format
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, ToolCall

__all__ = ["ReplyItems", "conversation", "text_format", "tool_choice", "tools"]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def conversation(value: Any, path: str) -> list[dict[str, Any]]:
    """A text, or items: messages, calls and their results; reasoning of earlier answers is left out."""
    if isinstance(value, str):
        return [{"role": "user", "content": text(value, path)}]
    messages: list[dict[str, Any]] = []
    for i, item in enumerate(items(mapping, 0)(value, path)):
        at = f"{path}[{i}]"
        kind = item.get("type", "message")
        if kind == "message":
            role = item.get("role")
            if not isinstance(role, str) or role not in _ROLES:
                raise refuse(f"{at}.role", role, f"one of {', '.join(_ROLES)}")
            content = content_of(item.get("content"), f"{at}.content")
            messages.append({"role": _ROLES[role], "content": content})
        elif kind == "function_call":
            _add_call(messages, item, at)
        elif kind == "function_call_output":
            call_id = text(item.get("call_id"), f"{at}.call_id")
            output = content_of(item.get("output"), f"{at}.output")
            messages.append({"role": "tool", "tool_call_id": call_id, "content": output})
        elif kind != "reasoning":
            raise refuse(f"{at}.type", kind, "message, function_call, function_call_output or reasoning")
    return messages


def tools(value: Any, path: str) -> list[dict[str, Any]]:
    """Functions, in the form of chat completions. Tools that only OpenAI's servers run are left out, since
    coding agents offer them to every server.
    """
    found = []
    for i, tool in enumerate(items(mapping, 0, 256)(value, path)):
        if tool.get("type") != "function":
            continue
        function: dict[str, Any] = {"name": text(tool.get("name"), f"{path}[{i}].name")}
        if tool.get("description") is not None:
            function["description"] = text(tool["description"], f"{path}[{i}].description")
        if tool.get("parameters") is not None:
            function["parameters"] = mapping(tool["parameters"], f"{path}[{i}].parameters")
        found.append({"type": "function", "function": function})
    return found


def tool_choice(value: Any, path: str) -> str | dict[str, Any]:
    """ "auto", "none", "required" or a function."""
    if value in ("none", "auto", "required"):
        return str(value)
    if isinstance(value, dict) and value.get("type") == "function":
        return {"name": text(value.get("name"), f"{path}.name")}
    raise refuse(path, value, '"none", "auto", "required" or {"type": "function", "name": NAME}')


def text_format(value: Any, path: str) -> Guide | None:
    """`text.format`: text, json_object or json_schema."""
    given = mapping(value, path).get("format") or {"type": "text"}
    at = f"{path}.format"
    if mapping(given, at).get("type") == "json_schema":
        given = {"type": "json_schema", "json_schema": given}
    return response_format(given, at)


def _add_call(messages: list[dict[str, Any]], item: dict[str, Any], at: str) -> None:
    """Calls that follow each other are one message."""
    arguments = text(item.get("arguments", "{}"), f"{at}.arguments")
    try:
        parsed = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        raise refuse(f"{at}.arguments", arguments, "a JSON object in a string") from None
    function = {"name": text(item.get("name"), f"{at}.name"), "arguments": parsed}
    call = {"type": "function", "id": text(item.get("call_id"), f"{at}.call_id"), "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": ""})
    messages[-1].setdefault("tool_calls", []).append(call)


Events = Iterator[tuple[str, dict[str, Any]]]


class ReplyItems:
    """Builds the output of a response, and the events that tell of it. output: the items so far."""

    def __init__(self) -> None:
        self.output: list[dict[str, Any]] = []
        self._is_open = False

    def push(self, part: ReplyEvent) -> Events:
        """The events of a part of the reply."""
        if isinstance(part, ToolCall):
            yield from self._close()
            yield from self._call(part)
            return
        kind = "reasoning" if isinstance(part, Reasoning) else "message"
        if not self._is_open or self.output[-1]["type"] != kind:
            yield from self._close()
            yield from self._open(kind)
        item = self.output[-1]
        item["content"][0]["text"] += part.text
        name = "reasoning_text" if kind == "reasoning" else "output_text"
        more: dict[str, Any] = {} if kind == "reasoning" else {"logprobs": []}
        yield f"response.{name}.delta", {**self._place(), "content_index": 0, "delta": part.text, **more}

    def finish(self, stream: Stream) -> Events:
        """The events at the end. An answer that was cut off has an incomplete last item."""
        if not self.output:
            yield from self._open("message")
        yield from self._close("incomplete" if stream.finish_reason == "length" else "completed")

    def _open(self, kind: str) -> Events:
        item: dict[str, Any] = {"type": kind, "status": "in_progress"}
        if kind == "message":
            item |= {"id": f"msg_{uuid.uuid4().hex}", "role": "assistant"}
            part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        else:
            item |= {"id": f"rs_{uuid.uuid4().hex}", "summary": []}
            part = {"type": "reasoning_text", "text": ""}
        self.output.append(item | {"content": [part]})
        self._is_open = True
        index = len(self.output) - 1
        yield "response.output_item.added", {"output_index": index, "item": item | {"content": []}}
        yield "response.content_part.added", {**self._place(), "content_index": 0, "part": dict(part)}

    def _close(self, status: str = "completed") -> Events:
        if not self._is_open:
            return
        self._is_open = False
        item = self.output[-1]
        item["status"] = status
        part = item["content"][0]
        if item["type"] == "message":
            done = {"text": part["text"], "logprobs": []}
            yield "response.output_text.done", {**self._place(), "content_index": 0, **done}
        else:
            yield "response.reasoning_text.done", {**self._place(), "content_index": 0, "text": part["text"]}
        yield "response.content_part.done", {**self._place(), "content_index": 0, "part": part}
        yield "response.output_item.done", {"output_index": len(self.output) - 1, "item": item}

    def _call(self, call: ToolCall) -> Events:
        item = {
            "type": "function_call",
            "id": f"fc_{uuid.uuid4().hex}",
            "call_id": f"call_{uuid.uuid4().hex[:24]}",
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        self.output.append(item)
        index = len(self.output) - 1
        begun = item | {"arguments": "", "status": "in_progress"}
        yield "response.output_item.added", {"output_index": index, "item": begun}
        yield "response.function_call_arguments.delta", {**self._place(), "delta": call.arguments}
        done = {**self._place(), "name": call.name, "arguments": call.arguments}
        yield "response.function_call_arguments.done", done
        yield "response.output_item.done", {"output_index": index, "item": item}

    def _place(self) -> dict[str, Any]:
        return {"item_id": self.output[-1]["id"], "output_index": len(self.output) - 1}
