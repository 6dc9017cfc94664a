"""Grammars of tool calls, in llguidance's form of Lark, from the schemas of the tools.

A schema stays whole in the grammar, so references to its own definitions keep working.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "Tools",
    "any_of",
    "arguments",
    "json_calls_rule",
    "json_value",
    "name",
    "properties_of",
    "python_calls_rule",
    "quoted",
]

Tools = Sequence[Mapping[str, Any]]
"""Tools in OpenAI's form: {"type": "function", "function": {"name": ..., "parameters": {...}}}."""

# As json.dumps writes it, which is how the templates show calls.
_SPACES = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def quoted(text: str) -> str:
    """A text as a terminal."""
    return json.dumps(text, ensure_ascii=False)


def arguments(tool: Mapping[str, Any]) -> str:
    """The terminal of a tool's arguments as JSON."""
    return f"%json {json.dumps(_schema(tool) | {'x-guidance': _SPACES})}"


def any_of(name: str, alternatives: Sequence[str]) -> str:
    """A rule with several alternatives."""
    return f"{name}: {' | '.join(alternatives)}"


def json_calls_rule(tools: Tools, key: str = "arguments") -> str:
    """The rule `call`: {"name": "f", "arguments": {...}}. key: how the format calls the arguments."""
    head = '{"name": '
    middle = f', "{key}": '
    return any_of(
        "call",
        [
            f"{quoted(head + json.dumps(name(tool)) + middle)} {arguments(tool)} {quoted('}')}"
            for tool in tools
        ],
    )


def properties_of(tool: Mapping[str, Any]) -> dict[str, tuple[Any, bool]]:
    """The schema of each parameter and whether it is required, the required ones first."""
    schema = _schema(tool)
    required = schema.get("required", ())
    found = {key: (value, key in required) for key, value in (schema.get("properties") or {}).items()}
    return dict(sorted(found.items(), key=lambda item: not item[1][1]))


def json_value(schema: Any, tool: Mapping[str, Any]) -> str:
    """The terminal of one parameter as JSON, with the definitions of the tool's schema."""
    if not isinstance(schema, Mapping):
        return f"%json {json.dumps(schema)}"
    shared = {key: value for key, value in _schema(tool).items() if key in ("$defs", "definitions")}
    return f"%json {json.dumps({**schema, **shared, 'x-guidance': _SPACES})}"


def python_calls_rule(tools: Tools) -> str:
    """The rule `call`: f(x=1, y="a"), required parameters first, both in the order of the schema."""
    rules, calls = [], []
    for i, tool in enumerate(tools):
        required, optional = list[str](), list[str]()
        for j, (key, (schema, is_required)) in enumerate(properties_of(tool).items()):
            rules.append(f"p{i}x{j}: {quoted(key + '=')} {_python_value(schema, tool)}")
            (required if is_required else optional).append(f"p{i}x{j}")
        more = [f'(", " {rule})?' for rule in optional]
        if required:
            lists = [" ".join([' ", " '.join(required), *more])]
        else:  # any of them may be the first, which no comma precedes
            lists = ["", *(" ".join([rule, *more[j + 1 :]]) for j, rule in enumerate(optional))]
        calls += [f"{quoted(name(tool) + '(')} {inner} {quoted(')')}" for inner in lists]
    return "\n".join([any_of("call", calls), *rules])


def name(tool: Mapping[str, Any]) -> str:
    """A tool's name."""
    return str(tool["function"]["name"])


def _python_value(schema: Any, tool: Mapping[str, Any]) -> str:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind == "boolean":
        return '("True" | "False")'
    return '"None"' if kind == "null" else json_value(schema, tool)


def _schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of the arguments. A call has no parameters that it does not declare, unless it says so."""
    return {"additionalProperties": False, **(tool["function"].get("parameters") or {"type": "object"})}
