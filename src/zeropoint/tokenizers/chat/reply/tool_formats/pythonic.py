"""LFM2 and LFM2.5: a Python list of calls between two special tokens."""

from __future__ import annotations

from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import Tools, python_calls_rule
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat
from zeropoint.tokenizers.chat.reply.python_calls import python_calls

__all__ = ["PythonicFormat"]

_OPEN, _CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"


class PythonicFormat(ToolFormat):
    """<|tool_call_start|>[f(x=1), g(y="a")]<|tool_call_end|>."""

    opens = (_OPEN,)
    closes = (_CLOSE,)

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template or a vocabulary with the special token; the published templates do not name it."""
        return _OPEN in clues.template or clues.has_token(_OPEN)

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """A list of calls in Python's syntax."""
        return f'rest: "[" call (", " call)* "]" {tag(_CLOSE)}\n{python_calls_rule(tools)}'

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The calls of the list."""
        return python_calls(body.strip())
