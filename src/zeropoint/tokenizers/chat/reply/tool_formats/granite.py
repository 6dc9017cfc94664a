"""Granite 3 and Phi-4-mini: a JSON list after `<|tool_call|>`."""

from __future__ import annotations

from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import Tools, json_calls_rule
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, json_calls

__all__ = ["GraniteFormat"]

_OPEN = "<|tool_call|>"


class GraniteFormat(ToolFormat):
    """<|tool_call|>[{"name": "f", "arguments": {"x": 1}}], which Phi-4-mini ends with <|/tool_call|>."""

    opens = (_OPEN,)
    closes = ("<|/tool_call|>",)

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template or a vocabulary with the tag; Granite 4 has the token, too, but writes `<tool_call>`."""
        return _OPEN in clues.template or (clues.has_token(_OPEN) and "<tool_call>" not in clues.template)

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """The list of calls, and Phi's closing tag if the vocabulary has it."""
        close = tag(self.closes[0])
        end = "" if close.startswith('"') else close  # not a token of this model
        return f'rest: "[" call (", " call)* "]" {end}\n{json_calls_rule(tools)}'

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The calls of the list."""
        return json_calls(body)
