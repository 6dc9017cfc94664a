"""The forms in which templates expect what OpenAI's API has once: arguments of tool calls, and reasoning."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["with_arguments", "with_reasoning"]

_READS_THINKING = re.compile(r"message(?:\.thinking|\['thinking'\]|\[\"thinking\"\])")
_READS_THINKING_PARTS = re.compile(r"block\['thinking'\]")


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


def with_reasoning(message: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    """The message with `reasoning_content` also as what the template reads: `thinking`, or a part."""
    reasoning, content = message.get("reasoning_content"), message.get("content")
    if not isinstance(reasoning, str) or message.get("role") != "assistant":
        return message
    if _READS_THINKING.search(source):
        return {"thinking": reasoning, **message}
    if _READS_THINKING_PARTS.search(source) and isinstance(content, str):
        text = [{"type": "text", "text": content}] if content else []
        return {**message, "content": [{"type": "thinking", "thinking": reasoning}, *text]}
    return message
