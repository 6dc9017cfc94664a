"""DeepSeek V3 and R1: a name and a JSON block for each call, between special tokens."""

from __future__ import annotations

from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import Tools, any_of, arguments, name, quoted
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, json_call

__all__ = ["DeepSeekFormat"]

_OPEN, _CLOSE = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_CALL, _CALL_END, _SEPARATOR = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"


class DeepSeekFormat(ToolFormat):
    """A list of `function<｜tool▁sep｜>f` and a block of JSON, each between the tags of a call."""

    opens = (_OPEN,)
    closes = (_CLOSE,)
    inner = (_CALL, _CALL_END, _SEPARATOR)
    HEAD, TAIL, BETWEEN = "\n```json\n", "\n```", "\n"

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template or a vocabulary with the tag."""
        return _OPEN in clues.template or clues.has_token(_OPEN)

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """One or more calls, each with its block of JSON."""
        blocks = [f"{quoted(name(tool) + self.HEAD)} {arguments(tool)}" for tool in tools]
        one = f'{tag(_CALL)} "function" {tag(_SEPARATOR)} block {quoted(self.TAIL)} {tag(_CALL_END)}'
        return f"rest: one ({quoted(self.BETWEEN)} one)* {tag(_CLOSE)}\none: {one}\n{any_of('block', blocks)}"

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The calls of the list."""
        calls = []
        for part in body.split(_CALL)[1:]:
            _, separator, call = part.strip().removesuffix(_CALL_END).partition(_SEPARATOR)
            name, _, block = call.partition("\n")
            if not separator:
                raise ValueError("no name")
            block = block.strip().removeprefix("```json").removesuffix("```")
            calls.append(json_call({"name": name.strip(), "arguments": block.strip()}))
        if not calls:
            raise ValueError("no call")
        return calls
