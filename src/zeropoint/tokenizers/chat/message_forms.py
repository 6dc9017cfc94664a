"""The forms in which templates expect what OpenAI's API has once: arguments of tool calls, and reasoning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["with_arguments", "with_reasoning", "with_thinking_part"]

_REASONING = ("reasoning_content", "thinking", "reasoning")
_THINKING_PART = "block['thinking']"


def with_arguments(message: Mapping[str, Any], *, as_text: bool) -> dict[str, Any]:
    """The message with the arguments of its tool calls as objects, or as JSON; anything else is unchanged."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return dict(message)
    return {**message, "tool_calls": [_call_with_arguments(call, as_text) for call in calls]}


def _call_with_arguments(call: Any, as_text: bool) -> Any:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "arguments" not in function:
        return call
    arguments = function["arguments"]
    if as_text and isinstance(arguments, Mapping):
        arguments = json.dumps(arguments, ensure_ascii=False)
    elif not as_text and isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            return call
        arguments = parsed if isinstance(parsed, Mapping) else arguments
    return {**call, "function": {**function, "arguments": arguments}}


def with_reasoning(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message with its reasoning under every name that templates read, as in transformers."""
    reasoning = next((message[name] for name in _REASONING if message.get(name) is not None), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


def with_thinking_part(message: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The message with its reasoning as a part of the content, if the template reads it there (Mistral's)."""
    reasoning, content = message.get("reasoning_content"), message.get("content")
    if not isinstance(reasoning, str) or not isinstance(content, str) or _THINKING_PART not in source:
        return message
    text = [{"type": "text", "text": content}] if content else []
    return {**message, "content": [{"type": "thinking", "thinking": reasoning}, *text]}
