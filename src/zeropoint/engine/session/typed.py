"""Answers as Python values: the JSON Schema of a type, and the value that JSON stands for.

Dataclasses, lists, tuples of one type, dicts, `Literal`, enumerations, optional and basic types; models of
pydantic convert themselves.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from zeropoint.errors import BadInput, MachineError

__all__ = ["schema_of", "value_of"]

T = TypeVar("T")
_BASIC: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type. Raises BadInput for a type that JSON cannot hold."""
    if hasattr(kind, "model_json_schema"):
        schema: dict[str, Any] = kind.model_json_schema()
        return schema
    if kind in _BASIC:
        return {"type": _BASIC[kind]}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin in (list, set, frozenset) or (origin is tuple and arguments[1:] == (...,)):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind) if field.init]
        return {
            "type": "object",
            "properties": {name: schema_of(hints[name]) for name in names},
            "required": names,
            "additionalProperties": False,
        }
    raise BadInput(
        f"{getattr(kind, '__name__', kind)} is not a type that JSON can hold; use a dataclass, a pydantic "
        "model, or lists, dicts and basic types"
    )


def value_of(kind: type[T], text: str) -> T:
    """The value that JSON text stands for. Raises MachineError for text that was cut off."""
    validate = getattr(kind, "model_validate_json", None)
    if validate is not None:
        try:
            return cast(T, validate(text))
        except ValueError as error:
            raise MachineError(f"the answer is no {kind.__name__}: {str(error).splitlines()[0]}") from None
    try:
        return cast(T, _converted(kind, json.loads(text)))
    except (ValueError, TypeError, KeyError):
        raise MachineError(
            f"the answer was cut off before it was a complete {getattr(kind, '__name__', kind)}; "
            "allow more tokens with max_tokens"
        ) from None


def _converted(kind: Any, value: Any) -> Any:
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _first_fitting(arguments, value)
    if origin in (list, set, frozenset, tuple):
        return origin(_converted(arguments[0], item) for item in value)
    if origin is dict:
        return {key: _converted(arguments[1], item) for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return cast(type, kind)(**{name: _converted(hints[name], item) for name, item in value.items()})
    if kind is float and isinstance(value, int):
        return float(value)
    if kind in _BASIC and type(value) is not kind:
        raise TypeError
    return value


def _first_fitting(kinds: tuple[Any, ...], value: Any) -> Any:
    for kind in kinds:
        try:
            return _converted(kind, value)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    raise TypeError
