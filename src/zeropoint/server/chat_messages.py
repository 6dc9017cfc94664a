"""Check the messages and tools of a chat request, and bring them into the form that chat templates expect."""

from __future__ import annotations

import json
from typing import Any

from zeropoint.server.errors import ApiError
from zeropoint.server.fields import items, mapping, refuse, text

__all__ = ["content_of", "messages", "tools"]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_TEXT_PARTS = ("text", "input_text", "output_text")


def messages(value: Any, path: str) -> list[dict[str, Any]]:
    """A conversation, as `Model.chat` takes it. Raises ApiError naming the message at fault."""
    checked: list[dict[str, Any]] = items(_message, 1)(value, path)
    return checked


def tools(value: Any, path: str) -> list[dict[str, Any]]:
    """Functions that the model may call."""
    checked: list[dict[str, Any]] = items(_tool, 0, 256)(value, path)
    return checked


def _message(value: Any, path: str) -> dict[str, Any]:
    message = mapping(value, path)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise refuse(f"{path}.role", role, f"one of {', '.join(_ROLES)}")
    known = {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "refusal", "audio"}
    if unknown := set(message) - known:
        name = f"{path}.{min(unknown)}"
        raise ApiError(400, f"{name} is not a field of a message", param=name, code="unsupported_parameter")
    calls = message.get("tool_calls")
    content = message.get("content")
    if content is None and not (role == "assistant"):
        raise ApiError(
            400, f"{path}.content is missing", param=f"{path}.content", code="missing_required_parameter"
        )
    if message.get("audio") is not None:
        raise refuse(f"{path}.audio", message["audio"], "absent: this server reads text only")
    result = {"role": _ROLES[role], "content": content_of(content, f"{path}.content")}
    for name in ("name", "tool_call_id", "reasoning_content"):
        if message.get(name) is not None:
            result[name] = text(message[name], f"{path}.{name}")
    if calls:
        result["tool_calls"] = items(_call, 1, 256)(calls, f"{path}.tool_calls")
    return result


def content_of(value: Any, path: str) -> str:
    """A text, or the texts of parts joined. Raises ApiError for parts that are no text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return text(value, path)
    if not isinstance(value, list):
        raise refuse(path, value, "a string or a list of parts")
    parts = []
    for i, part in enumerate(value):
        at = f"{path}[{i}]"
        kind = mapping(part, at).get("type")
        if kind not in _TEXT_PARTS:
            raise refuse(f"{at}.type", kind, '"text": this server reads text only')
        parts.append(text(part.get("text"), f"{at}.text"))
    return "".join(parts)


def _call(value: Any, path: str) -> dict[str, Any]:
    """A tool call of an earlier answer; templates take its arguments as an object."""
    call = mapping(value, path)
    function = mapping(call.get("function"), f"{path}.function")
    arguments = text(function.get("arguments", "{}"), f"{path}.function.arguments")
    try:
        parsed: Any = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        raise refuse(f"{path}.function.arguments", arguments, "a JSON object in a string") from None
    name = text(function.get("name"), f"{path}.function.name")
    result: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": parsed}}
    if call.get("id") is not None:
        result["id"] = text(call["id"], f"{path}.id")
    return result


def _tool(value: Any, path: str) -> dict[str, Any]:
    tool = mapping(value, path)
    if tool.get("type") != "function":
        raise refuse(f"{path}.type", tool.get("type"), '"function"')
    function = mapping(tool.get("function"), f"{path}.function")
    text(function.get("name"), f"{path}.function.name")
    if function.get("description") is not None:
        text(function["description"], f"{path}.function.description")
    if function.get("parameters") is not None:
        mapping(function["parameters"], f"{path}.function.parameters")
    kept = {
        key: function[key] for key in ("name", "description", "parameters") if function.get(key) is not None
    }
    return {"type": "function", "function": kept}
