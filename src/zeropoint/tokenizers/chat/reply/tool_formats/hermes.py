"""Hermes, Qwen 2.5 and 3, Granite 4: a JSON object between `<tool_call>` and `</tool_call>`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, json_calls

__all__ = ["HermesFormat"]


class HermesFormat(ToolFormat):
    """<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>, once for each call."""

    opens = ("<tool_call>",)
    closes = ("</tool_call>",)

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template or a vocabulary with the tag, unless the template names another format with it."""
        has_tag = "<tool_call>" in clues.template or clues.has_token("<tool_call>")
        return has_tag and "<function=" not in clues.template and "python_tools" not in clues.template

    def call_grammar(self, tools: Sequence[Mapping[str, Any]], is_special: Callable[[str], bool]) -> str:
        """The object on a line of its own between the tags, its arguments by the tool's schema."""
        calls = [f"%json {json.dumps(_schema(tool['function']))}" for tool in tools]
        tags = [tag if is_special(tag) else json.dumps(tag) for tag in (*self.opens, *self.closes)]
        return f'start: {tags[0]} "\\n" call "\\n" {tags[1]}\ncall: {" | ".join(calls)}'

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The call in a JSON object."""
        return json_calls(body)


def _schema(function: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a call."""
    arguments = function.get("parameters") or {"type": "object"}
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
        # As the templates write it.
        "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "},
    }
