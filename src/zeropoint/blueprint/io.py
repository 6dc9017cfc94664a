"""A blueprint as TOML, exactly: what is written is read back equal.

    version = 1
    family = "gpt2"
    ...
    [[blocks]]
    count = 12                      # a run of equal blocks is written once
    attention = { n_heads = 12, n_kv_heads = 12, d_head = 64, bias = "all" }
    ffn = { kind = "mlp", d_ff = 3072, activation = "gelu_tanh" }

A part is a table whose `kind` is its class in snake case, where there is a choice; "none" is no part. A field
at its default is left out. Blocks that alternate are written once, with `repeat = { blocks = 13 }` on top.
What is unknown is refused, with the closest name.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from itertools import groupby
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zeropoint.blueprint.spec import VERSION, Block, Blueprint
from zeropoint.errors import BadInput, choices

__all__ = ["from_toml", "kind_of", "to_toml"]

_MOST_BLOCKS = 4096


def to_toml(blueprint: Blueprint) -> str:
    """The blueprint's TOML text; `from_toml` gives the same blueprint."""
    lines, runs, repeats = [f"version = {VERSION}"], [], []
    for name, value in _told(blueprint):
        if _is_stack(value):
            pattern = _pattern(value)
            runs += _runs(name, pattern)
            if len(pattern) < len(value):
                repeats.append(f"{name} = {len(value) // len(pattern)}")
        else:
            lines.append(f"{name} = {_text(value, _has_choice(Blueprint, name))}")
    if repeats:
        lines.append(f"repeat = {{ {', '.join(repeats)} }}")
    return "\n".join(lines + runs) + "\n"


def from_toml(text: str, origin: str = "blueprint") -> Blueprint:
    """The blueprint that `text` says; `origin` names it in errors.

    Raises BadInput for text that is no TOML, a newer version, an unknown or missing key and a value of
    another type. Whether the values go together is for `check` to say.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{origin} is not TOML: it is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError is one; so is an integer of thousands of digits
        raise BadInput(f"{origin} is not TOML: {error}") from None
    version = table.pop("version", None)
    if type(version) is not int or version < 1:
        raise BadInput(f"{origin}: `version` is {_given(version)}; expected an integer, {VERSION} today")
    if version > VERSION:
        raise BadInput(
            f"{origin}: `version` is {version}, and this zeropoint reads up to {VERSION}; install a newer one"
        )
    repeats = table.pop("repeat", {})
    blueprint: Blueprint = _made(Blueprint, table, origin, "")
    return _repeated(blueprint, repeats, origin)


def kind_of(part: type[Any]) -> str:
    """How a part's class is written: `NoPosition` is no_position, `RMSNorm` rms_norm, `MLP` mlp."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", part.__name__).lower()


def _told(part: Any) -> Iterator[tuple[str, Any]]:
    """Fields and values worth writing: all but those at their default."""
    for field in fields(part):
        value = getattr(part, field.name)
        if not _same(value, field.default):
            yield field.name, value


def _same(value: Any, default: Any) -> bool:
    # 1 == 1.0 == True, but a reader must get the type back as well.
    return type(value) is type(default) and value == default


def _is_stack(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Block)


def _pattern(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The blocks whose repetition is `blocks`; all of them where they are one run, which `count` says."""
    n = len(blocks)
    lengths = (k for k in range(1, n + 1) if n % k == 0 and blocks == blocks[:k] * (n // k))
    length = next(lengths)
    return blocks if length == 1 else blocks[:length]


def _repeated(blueprint: Blueprint, repeats: Any, origin: str) -> Blueprint:
    if not isinstance(repeats, Mapping):
        raise BadInput(f"{origin}: `repeat` is {_given(repeats)}; expected a table, as in {{ blocks = 13 }}")
    stacks = {"blocks": blueprint.blocks, "encoder": blueprint.encoder}
    for name, times in repeats.items():
        if name not in stacks:
            raise BadInput(
                f"{origin}: {choices('key', f'repeat.{name}', [f'repeat.{key}' for key in stacks])}"
            )
        if type(times) is not int or times < 1 or times * len(stacks[name]) > _MOST_BLOCKS:
            raise BadInput(
                f"{origin}: `repeat.{name}` is {_given(times)}; expected 1 to {_MOST_BLOCKS} blocks in all"
            )
        stacks[name] *= times
    return replace(blueprint, blocks=stacks["blocks"], encoder=stacks["encoder"])


def _runs(stack: str, blocks: tuple[Block, ...]) -> list[str]:
    lines = []
    for block, run in groupby(blocks):
        lines += ["", f"[[{stack}]]"]
        if (count := len(list(run))) > 1:
            lines.append(f"count = {count}")
        lines += [f"{name} = {_text(value, _has_choice(Block, name))}" for name, value in _told(block)]
    return lines


def _text(value: Any, has_choice: bool = False) -> str:
    if is_dataclass(value):
        kind = type(value)
        items = [f'kind = "{kind_of(kind)}"'] if has_choice else []
        items += [f"{name} = {_text(inner, _has_choice(kind, name))}" for name, inner in _told(value)]
        return "{ " + ", ".join(items) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    if value is None:
        return '"none"'
    # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _made(kind: type[Any], table: Mapping[str, Any], origin: str, path: str) -> Any:
    """An instance of the dataclass `kind` from a table."""
    hints, known = _hints(kind), {field.name: field for field in fields(kind)}
    for key in table:
        if key not in known:
            shown = path + (key if key.isprintable() else json.dumps(key))
            raise BadInput(f"{origin}: {choices('key', shown, [path + name for name in known])}")
    values = {}
    for name, field in known.items():
        if name in table:
            values[name] = _value(hints[name], table[name], origin, path + name)
        elif field.default is MISSING:
            raise BadInput(f"{origin}: `{path}{name}` is missing; give {_expected(hints[name])}")
    return kind(**values)


def _value(hint: Any, value: Any, origin: str, path: str) -> Any:
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
            return _sequence(get_args(option)[0], value, origin, path)
    if get_origin(hint) is Literal and isinstance(value, str):
        raise BadInput(f"{origin}: {choices(path, value, get_args(hint))}")
    raise BadInput(f"{origin}: `{path}` is {_given(value)}; expected {_expected(hint)}")


def _part(parts: Mapping[str, type[Any]], table: Mapping[str, Any], origin: str, path: str) -> Any:
    rest = dict(table)
    given = rest.pop("kind", next(iter(parts)) if len(parts) == 1 else None)
    if not isinstance(given, str) or given not in parts:
        raise BadInput(f"{origin}: {choices(f'{path}.kind', given, parts)}")
    return _made(parts[given], rest, origin, f"{path}.")


def _sequence(item: Any, values: Sequence[Any], origin: str, path: str) -> tuple[Any, ...]:
    if item is not Block:
        return tuple(_value(item, value, origin, f"{path}[{i}]") for i, value in enumerate(values))
    blocks: list[Block] = []
    for i, table in enumerate(values):
        if not isinstance(table, Mapping):
            raise BadInput(f"{origin}: `{path}[{i}]` is {_given(table)}; expected a table [[{path}]]")
        rest = dict(table)
        count = rest.pop("count", 1)
        if type(count) is not int or not 1 <= count <= _MOST_BLOCKS - len(blocks):
            raise BadInput(
                f"{origin}: `{path}[{i}].count` is {_given(count)}; expected 1 to {_MOST_BLOCKS} in all"
            )
        blocks += [_made(Block, rest, origin, f"{path}[{i}].")] * count
    return tuple(blocks)


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _parts(hint: Any) -> dict[str, type[Any]]:
    """The dataclasses that a field may hold, by their written kind."""
    return {kind_of(one): one for one in _options(hint) if isinstance(one, type) and is_dataclass(one)}


def _has_choice(kind: type[Any], name: str) -> bool:
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


def _given(value: Any) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, default=str, ensure_ascii=True)
    return text if len(text) <= 40 else text[:37] + "..."
