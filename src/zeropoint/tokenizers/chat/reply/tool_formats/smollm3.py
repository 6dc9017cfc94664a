"""SmolLM3: JSON between `<tool_call>` tags, or calls in Python between `<code>` tags."""

from __future__ import annotations

from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import Tools, json_calls_rule
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, json_calls
from zeropoint.tokenizers.chat.reply.python_calls import python_calls

__all__ = ["SmolLM3Format"]


class SmolLM3Format(ToolFormat):
    """<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>, or <code>f(x=1)</code>, one in each line.

    Code that is more than calls is text: nothing here runs it.
    """

    opens = ("<tool_call>", "<code>")
    closes = ("</tool_call>", "</code>")

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template that offers both kinds of tools."""
        return "python_tools" in clues.template and "<tool_call>" in clues.template

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """JSON between the tags, as the template asks for it."""
        return f'rest: "\\n" call "\\n" {tag(self.closes[0])}\n{json_calls_rule(tools)}'

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The call in a JSON object, or those of some lines of Python."""
        text = body.strip()
        if text.startswith(("{", "[")):
            return json_calls(text)
        return [call for line in text.splitlines() if line.strip() for call in python_calls(line.strip())]
