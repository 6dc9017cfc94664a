"""Hermes, Qwen 2.5 and 3, Granite 4: a JSON object between `<tool_call>` and `</tool_call>`."""

from __future__ import annotations

from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import Tools, json_calls_rule
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

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """The object on a line of its own between the tags."""
        return f'rest: "\\n" call "\\n" {tag(self.closes[0])}\n{json_calls_rule(tools)}'

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The call in a JSON object."""
        return json_calls(body)
