"""What the fields of requests accept, as JSON Schema, for the OpenAPI document.

Only the checks say it in full; these are the forms that clients send.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "ANTHROPIC_MESSAGES",
    "ANTHROPIC_SYSTEM",
    "ANTHROPIC_TOOLS",
    "ANTHROPIC_TOOL_CHOICE",
    "DOCUMENT",
    "FUNCTION_CHOICE",
    "LOGIT_BIAS",
    "MESSAGES",
    "RESPONSES_CHOICE",
    "RESPONSES_INPUT",
    "RESPONSES_TOOLS",
    "RESPONSE_FORMAT",
    "STOPS",
    "STRUCTURED_OUTPUTS",
    "TEXT_OR_TEXTS",
    "THINKING",
    "TOOLS",
]

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_FULL: Schema = {"type": "string", "minLength": 1}
_NULLABLE: Schema = {"type": ["string", "null"]}
_OBJECT: Schema = {"type": "object"}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _closed(required: list[str], **properties: Schema) -> Schema:
    return _object(required, **properties) | {"additionalProperties": False}


def _list(items: Schema, minimum: int = 0, maximum: int | None = None) -> Schema:
    schema = {"type": "array", "items": items, "minItems": minimum}
    return schema | ({} if maximum is None else {"maxItems": maximum})


def _kind(name: str) -> Schema:
    return {"const": name}


_PART = _object(["type", "text"], type={"enum": ["text", "input_text", "output_text"]}, text=_TEXT)
_CONTENT: Schema = {"anyOf": [_TEXT, _list(_PART)]}
_CALL = _object(
    ["type", "function"],
    id=_TEXT,
    type=_kind("function"),
    function=_object(["name", "arguments"], name=_TEXT, arguments={"const": "{}", "description": "JSON"}),
)
MESSAGES = _list(
    {
        "anyOf": [
            _closed(
                ["role", "content"],
                role={"enum": ["system", "developer", "user"]},
                content=_CONTENT,
                name=_TEXT,
            ),
            _closed(["role"], role=_kind("assistant"), content=_CONTENT, tool_calls=_list(_CALL, 1, 256)),
            _closed(["role", "content"], role=_kind("tool"), content=_CONTENT, tool_call_id=_TEXT),
        ]
    },
    1,
)
_FUNCTION = _object(["name"], name=_TEXT, description=_NULLABLE, parameters=_OBJECT, strict={})
TOOLS = _list(_object(["type", "function"], type=_kind("function"), function=_FUNCTION), 0, 256)
FUNCTION_CHOICE: Schema = {
    "anyOf": [
        {"enum": ["auto", "none", "required"]},
        _object(["type", "function"], type=_kind("function"), function=_object(["name"], name=_TEXT)),
    ]
}
RESPONSE_FORMAT: Schema = {
    "anyOf": [
        _object(["type"], type={"enum": ["text", "json_object"]}),
        _object(
            ["type", "json_schema"],
            type=_kind("json_schema"),
            json_schema=_object(["schema"], name=_TEXT, schema=_OBJECT, strict={"type": "boolean"}),
        ),
    ]
}
THINKING = _object(["type"], type={"enum": ["enabled", "adaptive", "disabled"]})
REASONING = _object([], effort=_TEXT)
DOCUMENT: Schema = {"anyOf": [_FULL, _closed(["text"], text=_FULL)]}
STRUCTURED_OUTPUTS: Schema = {
    "anyOf": [
        _closed(["json"], json=_OBJECT),
        _closed(["regex"], regex={"type": "string", "minLength": 1}),
        _closed(["choice"], choice=_list({"type": "string", "minLength": 1}, 1)),
        _closed(["grammar"], grammar={"type": "string", "minLength": 1}),
    ]
}
STOPS: Schema = {"anyOf": [_TEXT, _list({"type": "string", "minLength": 1, "maxLength": 1024}, 0, 4)]}
LOGIT_BIAS: Schema = {
    "type": "object",
    "patternProperties": {"^[0-9]{1,9}$": {"type": "number", "minimum": -100, "maximum": 100}},
    "additionalProperties": False,
}
TEXT_OR_TEXTS: Schema = {
    "anyOf": [{"type": "string", "minLength": 1}, _list({"type": "string", "minLength": 1}, 1, 2048)]
}
_BLOCK = _object(["type", "text"], type=_kind("text"), text=_TEXT)
ANTHROPIC_SYSTEM: Schema = {"anyOf": [_TEXT, _list(_BLOCK)]}
ANTHROPIC_MESSAGES = _list(
    _object(
        ["role", "content"],
        role={"enum": ["user", "assistant"]},
        content={"anyOf": [_TEXT, _list(_BLOCK)]},
    ),
    1,
)
ANTHROPIC_TOOLS = _list(
    _object(["name", "input_schema"], name=_TEXT, description=_NULLABLE, input_schema=_OBJECT), 0, 256
)
ANTHROPIC_TOOL_CHOICE: Schema = {
    "anyOf": [
        _object(["type"], type={"enum": ["auto", "any", "none"]}),
        _object(["type", "name"], type=_kind("tool"), name=_TEXT),
    ]
}
RESPONSES_INPUT: Schema = {
    "anyOf": [
        _TEXT,
        _list(
            _object(
                ["role", "content"],
                type=_kind("message"),
                role={"enum": ["system", "developer", "user", "assistant"]},
                content=_CONTENT,
            )
        ),
    ]
}
RESPONSES_TOOLS = _list(
    _object(["type", "name"], type=_kind("function"), name=_TEXT, description=_NULLABLE, parameters=_OBJECT),
    0,
    256,
)
RESPONSES_CHOICE: Schema = {
    "anyOf": [
        {"enum": ["auto", "none", "required"]},
        _object(["type", "name"], type=_kind("function"), name=_TEXT),
    ]
}
