"""Llama 3: a reply that is a JSON object, or Python's syntax after `<|python_tag|>`."""

from __future__ import annotations

import json
from collections.abc import Callable

from zeropoint.tokenizers.chat.reply.call_grammars import Tools, json_calls_rule
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, json_call
from zeropoint.tokenizers.chat.reply.python_calls import python_calls

__all__ = ["Llama3Format"]

_TAG = "<|python_tag|>"


class Llama3Format(ToolFormat):
    """{"name": "f", "parameters": {"x": 1}}, several with a semicolon, or <|python_tag|>f.call(x=1)."""

    opens = (_TAG,)
    is_tagged = False
    starts = ('{"name":', '{"type":"function"', '{"function":', '{"parameters":')

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A vocabulary with the tag, or a template that asks for a name and its parameters."""
        return clues.has_token(_TAG) or _TAG in clues.template or '{"name": function name' in clues.template

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """One object, without a tag before it."""
        return f"rest: call\n{json_calls_rule(tools, 'parameters')}"

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The calls of one or more objects, or one call of a tool that is built in."""
        text = body.strip()
        if not text.startswith("{"):
            return [Call(call.name.removesuffix(".call"), call.arguments) for call in python_calls(text)]
        calls, decoder, at = [], json.JSONDecoder(), 0
        while at < len(text):
            try:
                value, at = decoder.raw_decode(text, at)
            except RecursionError:
                raise ValueError("nested too deeply") from None
            calls.append(json_call(value))
            while at < len(text) and text[at] in "; \n\t":
                at += 1
        return calls
