"""Mistral and Ministral: `[TOOL_CALLS]` with a JSON list, or with a name and `[ARGS]` for each call."""

from __future__ import annotations

from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import (
    Tools,
    any_of,
    arguments,
    json_calls_rule,
    name,
    quoted,
)
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, json_call, json_calls

__all__ = ["MistralFormat"]

_OPEN, _ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"


class MistralFormat(ToolFormat):
    """[TOOL_CALLS][{"name": "f", "arguments": {"x": 1}}], or since late 2025 [TOOL_CALLS]f[ARGS]{"x": 1}."""

    opens = (_OPEN,)
    repeats = True
    inner = (_ID, _ARGUMENTS)

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template or a vocabulary with the tag."""
        return _OPEN in clues.template or clues.has_token(_OPEN)

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """A name and its arguments where the vocabulary separates them by a token, else a list of calls."""
        separator = tag(_ARGUMENTS)
        if separator.startswith('"'):  # not a token of this model
            return f'rest: "[" call (", " call)* "]"\n{json_calls_rule(tools)}'
        return any_of("rest", [f"{quoted(name(tool))} {separator} {arguments(tool)}" for tool in tools])

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """One call, or those of a list."""
        if _ARGUMENTS not in body:
            return json_calls(body)
        head, _, arguments = body.partition(_ARGUMENTS)
        name = head.partition(_ID)[0].strip()
        return [json_call({"name": name, "arguments": arguments.strip()})]
