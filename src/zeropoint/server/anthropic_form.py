"""Anthropic's form of requests, as conversations that `Model.chat` takes."""

from __future__ import annotations

import json
from typing import Any

from zeropoint.server.errors import ApiError
from zeropoint.server.fields import items, mapping, refuse, text

__all__ = ["conversation", "system", "thinking", "tool_choice", "tools"]

_DROPPED = ("thinking", "redacted_thinking")  # of earlier answers; templates leave reasoning out, too


def system(value: Any, path: str) -> str:
    """The system prompt: a text, or blocks of text."""
    return text(value, path) if isinstance(value, str) else _joined(items(_text_block)(value, path))


def conversation(value: Any, path: str) -> list[dict[str, Any]]:
    """Messages with blocks of text, tool calls and results, in OpenAI's form."""
    messages: list[dict[str, Any]] = []
    for i, item in enumerate(items(mapping, 1)(value, path)):
        at = f"{path}[{i}]"
        role, content = item.get("role"), item.get("content")
        if role not in ("user", "assistant"):
            raise refuse(f"{at}.role", role, "user or assistant; the system prompt is the field `system`")
        if isinstance(content, str):
            messages.append({"role": role, "content": text(content, f"{at}.content")})
            continue
        blocks = items(mapping)(content, f"{at}.content")
        read = _user if role == "user" else _assistant
        messages += read(blocks, f"{at}.content")
    return messages


def tools(value: Any, path: str) -> list[dict[str, Any]]:
    """Tools, in OpenAI's form."""
    found = []
    for i, tool in enumerate(items(mapping, 0, 256)(value, path)):
        at = f"{path}[{i}]"
        if tool.get("type", "custom") != "custom":
            raise refuse(f"{at}.type", tool["type"], '"custom": this server runs no tools of its own')
        function = {
            "name": text(tool.get("name"), f"{at}.name"),
            "parameters": mapping(tool.get("input_schema"), f"{at}.input_schema"),
        }
        if tool.get("description") is not None:
            function["description"] = text(tool["description"], f"{at}.description")
        found.append({"type": "function", "function": function})
    return found


def tool_choice(value: Any, path: str) -> str | dict[str, Any]:
    """As the field of that name in OpenAI's form: "auto", "none", "required" or {"name": NAME}."""
    kind = mapping(value, path).get("type")
    if kind == "tool":
        return {"name": text(value.get("name"), f"{path}.name")}
    names = {"auto": "auto", "any": "required", "none": "none"}
    if not isinstance(kind, str) or kind not in names:
        raise refuse(f"{path}.type", kind, "one of auto, any, tool, none")
    return names[kind]


def thinking(value: Any, path: str) -> bool:
    """Whether to reason before the answer."""
    kind = mapping(value, path).get("type")
    if kind not in ("enabled", "adaptive", "disabled"):
        raise refuse(f"{path}.type", kind, "enabled, adaptive or disabled")
    return bool(kind != "disabled")


def _user(blocks: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """Results of tools are messages of their own, before the text of the same message."""
    results, texts = [], []
    for i, block in enumerate(blocks):
        at = f"{path}[{i}]"
        if block.get("type") == "tool_result":
            content = block.get("content") or ""
            if not isinstance(content, str):
                content = _joined(items(_text_block)(content, f"{at}.content"))
            call_id = text(block.get("tool_use_id"), f"{at}.tool_use_id")
            results.append({"role": "tool", "tool_call_id": call_id, "content": text(content, at)})
        else:
            texts.append(_text_block(block, at))
    return [*results, *([{"role": "user", "content": _joined(texts)}] if texts or not results else [])]


def _assistant(blocks: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    texts, calls = [], []
    for i, block in enumerate(blocks):
        at = f"{path}[{i}]"
        if block.get("type") == "tool_use":
            function = {
                "name": text(block.get("name"), f"{at}.name"),
                "arguments": mapping(block.get("input"), f"{at}.input"),
            }
            calls.append({"type": "function", "id": text(block.get("id"), f"{at}.id"), "function": function})
        elif block.get("type") not in _DROPPED:
            texts.append(_text_block(block, at))
    message: dict[str, Any] = {"role": "assistant", "content": _joined(texts)}
    return [message | ({"tool_calls": calls} if calls else {})]


def _text_block(value: Any, path: str) -> str:
    block = mapping(value, path)
    if block.get("type") != "text":
        kind = json.dumps(block.get("type"))
        message = f"{path} has the type {kind}, which this server does not read; it reads text"
        raise ApiError(400, message, param=path, code="invalid_value")
    return text(block.get("text"), f"{path}.text")


def _joined(texts: list[str]) -> str:
    return "\n".join(texts)
