"""Check the JSON body of a request against a table of fields.

Every field that is not in the table is refused by name, because a field that has no effect misleads. A few
that clients always send and that change nothing here are ignored: each route lists them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from zeropoint.errors import choices
from zeropoint.frozen import frozen
from zeropoint.server.errors import ApiError

__all__ = [
    "Field",
    "boolean",
    "checked",
    "integer",
    "items",
    "mapping",
    "number",
    "one_of",
    "parse_json",
    "refuse",
    "schema_of",
    "text",
]

_MAX_DEPTH = 64  # of nested values in a request

Check = Callable[[Any, str], Any]
"""Takes a value and its path ("messages[0].role") and returns it, or raises ApiError."""


@frozen
class Field:
    """One field of a request. check: what it accepts; default: its value if it is missing or null.

    form: what it accepts as JSON Schema, where `check` does not say it (`schemas.py`).
    """

    check: Check
    default: Any = None
    help: str = ""
    is_required: bool = False
    form: Mapping[str, Any] | None = None

    def schema(self) -> dict[str, Any]:
        """The field as JSON Schema, for the OpenAPI document."""
        described = dict(self.form or schema_of(self.check))
        if described and not self.is_required:
            described = {"anyOf": [described, {"type": "null"}]}
        return described | ({"description": self.help} if self.help else {})


def refuse(path: str, value: object, expected: str) -> ApiError:
    """The error for a value that a field does not accept."""
    shown = json.dumps(value, default=str)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return ApiError(400, f"{path} must be {expected}; got {shown}", param=path, code="invalid_value")


def parse_json(body: bytes) -> dict[str, Any]:
    """A request's JSON object. Raises ApiError for anything else, NaN, duplicate keys and deep nesting."""
    try:
        value = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, f"the body must be a JSON object: {reason}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body must be a JSON object", code="invalid_json")
    if _depth(value) > _MAX_DEPTH:
        raise ApiError(400, f"the body is nested deeper than {_MAX_DEPTH} levels", code="invalid_json")
    return value


def checked(
    body: Mapping[str, Any],
    fields: Mapping[str, Field],
    ignored: Collection[str] = (),
    hints: Mapping[str, str] | None = None,
    at: str = "",
) -> dict[str, Any]:
    """The values of all fields. hints: what to do instead, for fields that are refused. at: a path prefix."""
    for name in body:
        if name in fields or name in ignored:
            continue
        hint = (hints or {}).get(name)
        reason = f"{at}{name} is not supported; {hint}" if hint else choices("field", at + name, fields)
        raise ApiError(400, reason, param=at + name, code="unsupported_parameter")
    values = {}
    for name, field in fields.items():
        value = body.get(name)
        if value is None:
            if field.is_required:
                raise ApiError(
                    400, f"{at}{name} is missing", param=at + name, code="missing_required_parameter"
                )
            values[name] = field.default
        else:
            values[name] = field.check(value, at + name)
    return values


def integer(minimum: int, maximum: int) -> Check:
    """A whole number."""

    def check(value: Any, path: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            raise refuse(path, value, f"a whole number from {minimum} to {maximum}")
        return int(value)

    return _described(check, {"type": "integer", "minimum": minimum, "maximum": maximum})


def number(minimum: float, maximum: float, *, is_open: bool = False) -> Check:
    """A finite number. is_open: `minimum` itself is not allowed."""

    def check(value: Any, path: str) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_inside = is_number and math.isfinite(value) and minimum <= value <= maximum
        if not is_inside or (is_open and value == minimum):
            begin = "above" if is_open else "from"
            raise refuse(
                path, value, f"a number {begin} {minimum:g} {'and at most' if is_open else 'to'} {maximum:g}"
            )
        return float(value)

    low = "exclusiveMinimum" if is_open else "minimum"
    return _described(check, {"type": "number", low: minimum, "maximum": maximum})


def boolean(value: Any, path: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise refuse(path, value, "true or false")
    return value


def text(value: Any, path: str) -> str:
    """A string without lone surrogates, which no tokenizer takes."""
    if not isinstance(value, str):
        raise refuse(path, value, "a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ApiError(
            400, f"{path} has a lone surrogate, which is not text", param=path, code="invalid_value"
        ) from None
    return value


def one_of(*names: str) -> Check:
    """One of some strings."""

    def check(value: Any, path: str) -> str:
        if value not in names:
            raise refuse(path, value, f"one of {', '.join(names)}")
        return str(value)

    return _described(check, {"type": "string", "enum": list(names)})


def items(each: Check, minimum: int = 0, maximum: int = 1 << 20) -> Check:
    """A list."""

    def check(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list) or not minimum <= len(value) <= maximum:
            raise refuse(path, value, f"a list of {minimum} to {maximum} items")
        return [each(item, f"{path}[{i}]") for i, item in enumerate(value)]

    schema = {"type": "array", "items": schema_of(each), "minItems": minimum, "maxItems": maximum}
    return _described(check, schema)


def mapping(value: Any, path: str) -> dict[str, Any]:
    """A JSON object, with any keys."""
    if not isinstance(value, dict):
        raise refuse(path, value, "an object")
    return value


_SCHEMAS: Mapping[Check, Mapping[str, Any]] = {
    boolean: {"type": "boolean"},
    text: {"type": "string"},
    mapping: {"type": "object"},
}


def schema_of(check: Check) -> Mapping[str, Any]:
    """What a check accepts, as JSON Schema; {} if it does not say."""
    found: Mapping[str, Any] = getattr(check, "schema", None) or _SCHEMAS.get(check, {})
    return found


def _described(check: Check, schema: Mapping[str, Any]) -> Check:
    check.schema = schema  # type: ignore[attr-defined]
    return check


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {json.dumps(twice)[:80]} occurs twice")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack += [(part, level + 1) for part in inner if isinstance(part, (dict, list))]
    return deepest
