"""Read and write frozen dataclasses as TOML; reading what was written gives equal values.

A nested dataclass is a table. If a field allows several classes, `kind` names the class in snake case. "none"
stands for None. Unknown keys (with the closest name) and values of the wrong type are errors.
"""

from __future__ import annotations

import json
import math
import re
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
    "kind_of",
    "needs_kind",
    "non_defaults",
    "refuse_unknown",
]


def kind_of(part: type[Any]) -> str:
    """The `kind` of a class: no_position for `NoPosition`, rms_norm for `RMSNorm`, mlp for `MLP`.

    A class can define it as KIND if its name does not split well (AdamW).
    """
    return (
        part.__dict__.get("KIND")
        or re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", part.__name__).lower()
    )


def non_defaults(part: Any) -> Iterator[tuple[str, Any]]:
    """Fields and values that differ from their default."""
    for field in fields(part):
        value = getattr(part, field.name)
        if not _same(value, field.default):
            yield field.name, value


def _same(value: Any, default: Any) -> bool:
    # 1 == 1.0 == True, but reading must restore the type too.
    return type(value) is type(default) and value == default


def encode(value: Any, has_kind: bool = False) -> str:
    """A value as one line of TOML. has_kind: write the `kind` of a dataclass."""
    if is_dataclass(value):
        kind = type(value)
        items = [f'kind = "{kind_of(kind)}"'] if has_kind else []
        items += [f"{name} = {encode(inner, needs_kind(kind, name))}" for name, inner in non_defaults(value)]
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
    # JSON strings are valid TOML strings, except for DEL, which TOML requires to be escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def decode(
    kind: type[Any],
    table: Mapping[str, Any],
    origin: str,
    path: str = "",
    ready: Mapping[str, Any] | None = None,
) -> Any:
    """An instance of the dataclass `kind` from a table.

    origin: the file, for errors. path: the keys above the table, for errors ("train."). ready: values of
    fields that are not in the table. Raises BadInput.
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
    """Raise BadInput for a key of `table` that is not in `known`, with the closest one."""
    known = list(known)
    for key in table:
        if key not in known:
            shown = path + (key if key.isprintable() else json.dumps(key))
            raise BadInput(f"{origin}: {choices('key', shown, [path + name for name in known])}")


def decode_value(hint: Any, value: Any, origin: str, path: str) -> Any:
    """Convert a parsed TOML value to the type `hint`. Raises BadInput."""
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
    """The dataclasses that a field allows, by kind."""
    return {kind_of(cls): cls for cls in _options(hint) if isinstance(cls, type) and is_dataclass(cls)}


def needs_kind(kind: type[Any], name: str) -> bool:
    """Whether the field `name` of `kind` allows several dataclasses."""
    return len(_parts(_hints(kind)[name])) > 1


def _expected(hint: Any) -> str:
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text", type(None): '"none"'}
    texts = [f'{{ kind = "{name}", ... }}' for name in _parts(hint)]
    for option in _options(hint):
        if is_dataclass(option):
            continue
        if get_origin(option) is Literal:
            texts.append("one of " + ", ".join(get_args(option)))
        else:
            texts.append(names.get(option, "a list"))
    return " or ".join(texts)


def describe(value: Any) -> str:
    """A value for a message, at most 40 characters."""
    if value is None:
        return "missing"
    text = json.dumps(value, default=str, ensure_ascii=True)
    return text if len(text) <= 40 else text[:37] + "..."
