"""Qwen 3.5 and Qwen3-Coder: a function and its parameters as tags, between `<tool_call>` tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zeropoint.tokenizers.chat.reply.call_grammars import (
    Tools,
    any_of,
    json_value,
    name,
    properties_of,
    quoted,
)
from zeropoint.tokenizers.chat.reply.calls import Call, Clues, Schemas, ToolFormat, dump, load

__all__ = ["QwenXmlFormat"]

_FUNCTION, _PARAMETER = "<function=", "<parameter="
_FUNCTION_END, _PARAMETER_END = "</function>", "</parameter>"


class QwenXmlFormat(ToolFormat):
    """<tool_call><function=f><parameter=x>1</parameter></function></tool_call>, with a line for each tag.

    The tags do not tell a number from a text, so a value has the type that the tool's schema gives it. It is
    a text if there is none or if it does not fit.
    """

    opens = ("<tool_call>",)
    closes = ("</tool_call>",)

    @classmethod
    def is_used(cls, clues: Clues) -> bool:
        """A template with both tags."""
        return "<tool_call>" in clues.template and _FUNCTION in clues.template

    def call_rules(self, tools: Tools, tag: Callable[[str], str]) -> str:
        """A line for each tag: the required parameters, then any of the others, in the schema's order."""
        rules, calls = [f'rest: "\\n" call {quoted(_FUNCTION_END)} "\\n" {tag(self.closes[0])}'], []
        for i, tool in enumerate(tools):
            parts = []
            for j, (key, (schema, is_required)) in enumerate(properties_of(tool).items()):
                end = quoted(f"\n{_PARAMETER_END}\n")
                if _is_text(schema):  # anything up to the closing tag
                    rules.append(f"v{i}x{j}[suffix={end}]: /(.|\\n)*/")
                    value = f"v{i}x{j}"
                else:
                    value = f"{json_value(schema, tool)} {end}"
                rules.append(f"p{i}x{j}: {quoted(f'{_PARAMETER}{key}>' + chr(10))} {value}")
                parts.append(f"p{i}x{j}" if is_required else f"p{i}x{j}?")
            calls.append(f"{quoted(f'{_FUNCTION}{name(tool)}>' + chr(10))} {' '.join(parts)}")
        return "\n".join([*rules, any_of("call", calls)])

    def parse(self, body: str, schemas: Schemas) -> list[Call]:
        """The call of the only function."""
        text = body.strip()
        if not text.startswith(_FUNCTION):
            raise ValueError("no function")
        name, closed, text = text.removeprefix(_FUNCTION).partition(">")
        text = text.removesuffix(_FUNCTION_END).strip()
        if not closed or not name.strip() or "\n" in name:
            raise ValueError("no name")
        schema = schemas.get(name, {})
        arguments: dict[str, Any] = {}
        for part in text.split(_PARAMETER)[1:] if text.startswith(_PARAMETER) else [text] if text else []:
            key, closed, value = part.partition(">")
            value = value.rstrip()
            if not closed or not value.endswith(_PARAMETER_END) or key in arguments:
                raise ValueError("not a parameter")
            value = value.removesuffix(_PARAMETER_END).removeprefix("\n").removesuffix("\n")
            arguments[key] = _typed(value, schema.get(key))
        return [Call(name.strip(), dump(arguments))]


def _is_text(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "string" and "enum" not in schema


def _typed(text: str, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else "string"
    if kind == "string":
        return text
    try:
        return load(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)
