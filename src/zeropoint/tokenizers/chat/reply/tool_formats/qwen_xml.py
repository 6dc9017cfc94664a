"""Qwen 3.5 and Qwen3-Coder: a function and its parameters as tags, between `<tool_call>` tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def _typed(text: str, schema: Any) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else "string"
    if kind == "string":
        return text
    try:
        return load(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)
