"""Frozen dataclasses as TOML, exactly: what is written is read back equal.

A dataclass in another is a table; where a field may hold one of several, the table's `kind` is the class in
snake case. "none" is None. What is unknown is refused, with the closest name; so is a value of another type.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zeropoint.errors import BadInput, choices

__all__ = [
    "decode",
    "decode_value",
    "describe",
    "encode",
    "has_choice",
    "kind_of",
    "non_defaults",
    "parse",
    "refuse_unknown",
]


def parse(text: str, origin: str) -> dict[str, Any]:
    """The table that a TOML text is. Raises BadInput, naming `origin`, for a text that is none."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{origin} is not TOML: it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one; so is an integer of thousands of digits
        raise BadInput(f"{origin} is not TOML: {error}") from None


def kind_of(part: type[Any]) -> str:
    """How a part's class is written: `NoPosition` is no_position, `RMSNorm` rms_norm, `MLP` mlp.

    A class whose name does not split so says it as KIND (AdamW).
    """
    return (
        part.__dict__.get("KIND")
        or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", part.__name__).lower()
    )


def non_defaults(part: Any) -> Iterator[tuple[str, Any]]:
    """Fields and values worth writing: all but those at their default."""
    for field in fields(part):
        value = getattr(part, field.name)
        if not _same(value, field.default):
            yield field.name, value


def _same(value: Any, default: Any) -> bool:
    # 1 == 1.0 == True, but a reader must get the type back as well.
    return type(value) is type(default) and value == default


def encode(value: Any, tells_kind: bool = False) -> str:
    """A value as TOML, in a line. tells_kind: a dataclass says which it is."""
    if is_dataclass(value):
        kind = type(value)
        items = [f'kind = "{kind_of(kind)}"'] if tells_kind else []
        items += [f"{name} = {encode(inner, has_choice(kind, name))}" for name, inner in non_defaults(value)]
        return "{ " + ", ".join(items) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(encode, value)) + "]"
    if value is None:
        return '"none"'
    # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def decode(
    kind: type[Any],
    table: Mapping[str, Any],
    origin: str,
    path: str = "",
    ready: Mapping[str, Any] | None = None,
) -> Any:
    """An instance of the dataclass `kind` from a table.

    origin names the file in errors, path what lies above the table ("train."). ready: fields that are made
    already, and not in the table. Raises BadInput.
    """
    hints, known, ready = _hints(kind), {field.name: field for field in fields(kind)}, ready or {}
    refuse_unknown(table, known, origin, path)
    values = {name: value for name, value in ready.items() if name in known}
    for name, field in known.items():
        if name in table:
            values[name] = decode_value(hints[name], table[name], origin, path + name)
        elif name not in values and field.default is MISSING:
            raise BadInput(f"{origin}: `{path}{name}` is missing; give {_expected(hints[name])}")
    return kind(**values)


def refuse_unknown(table: Mapping[str, Any], known: Iterable[str], origin: str, path: str = "") -> None:
    """Raise BadInput for a key of a table that is not one of these, with the closest that is."""
    known = list(known)
    for key in table:
        if key not in known:
            shown = path + (key if key.isprintable() else json.dumps(key))
            raise BadInput(f"{origin}: {choices('key', shown, [path + name for name in known])}")


def decode_value(hint: Any, value: Any, origin: str, path: str) -> Any:
    """A value of the type that `hint` says, from what TOML gave. Raises BadInput."""
    options, parts = _options(hint), _parts(hint)
    if type(None) in options and value == "none":
        return None
    if parts and isinstance(value, Mapping):
        return _part(parts, value, origin, path)
    for option in options:
        if get_origin(option) is Literal and value in get_args(option) and isinstance(value, str):
            return value
        if option is float and type(value) in (int, float):
            return float(value)
        if option in (int, bool, str) and type(value) is option:
            return value
        if get_origin(option) is tuple and isinstance(value, list):
            return _sequence(option, value, origin, path)
    if get_origin(hint) is Literal and isinstance(value, str):
        raise BadInput(f"{origin}: {choices(path, value, get_args(hint))}")
    raise BadInput(f"{origin}: `{path}` is {describe(value)}; expected {_expected(hint)}")


def _part(parts: Mapping[str, type[Any]], table: Mapping[str, Any], origin: str, path: str) -> Any:
    rest = dict(table)
    kind = rest.pop("kind", next(iter(parts)) if len(parts) == 1 else None)
    if not isinstance(kind, str) or kind not in parts:
        raise BadInput(f"{origin}: {choices(f'{path}.kind', kind, parts)}")
    return decode(parts[kind], rest, origin, f"{path}.")


def _sequence(option: Any, values: Sequence[Any], origin: str, path: str) -> tuple[Any, ...]:
    items = get_args(option)
    if items[-1] is not Ellipsis and len(values) != len(items):
        raise BadInput(f"{origin}: `{path}` has {len(values)} values; expected {len(items)}")
    return tuple(decode_value(items[0], value, origin, f"{path}[{i}]") for i, value in enumerate(values))


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _parts(hint: Any) -> dict[str, type[Any]]:
    """The dataclasses that a field may hold, by their written kind."""
    return {kind_of(one): one for one in _options(hint) if isinstance(one, type) and is_dataclass(one)}


def has_choice(kind: type[Any], name: str) -> bool:
    """Whether that field of `kind` may hold one of several dataclasses."""
    return len(_parts(_hints(kind)[name])) > 1


def _expected(hint: Any) -> str:
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text", type(None): '"none"'}
    said = [f'{{ kind = "{name}", ... }}' for name in _parts(hint)]
    for option in _options(hint):
        if is_dataclass(option):
            continue
        if get_origin(option) is Literal:
            said.append("one of " + ", ".join(get_args(option)))
        else:
            said.append(names.get(option, "a list"))
    return " or ".join(said)


def describe(value: Any) -> str:
    """A value for a message, in a few characters."""
    if value is None:
        return "missing"
    text = json.dumps(value, default=str, ensure_ascii=True)
    return text if len(text) <= 40 else text[:37] + "..."
