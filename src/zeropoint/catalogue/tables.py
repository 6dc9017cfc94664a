"""Tables of TOML made into frozen dataclasses, every key and type checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

from zeropoint.errors import BadInput, choices

__all__ = ["build", "refuse_unknown"]

T = TypeVar("T")


def build(kind: type[T], raw: Mapping[str, Any], where: str) -> T:
    """A frozen dataclass from a TOML table; BadInput names a missing, unknown or mistyped key."""
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    refuse_unknown(raw, set(fields), where)
    hints = get_type_hints(kind)
    for name, item in fields.items():
        optional = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
        if name not in raw and not optional:
            raise BadInput(f"{where}: the key `{name}` is missing")
        if name in raw and hints[name] in (int, str) and type(raw[name]) is not hints[name]:
            raise BadInput(f"{where}: `{name}` must be of type {hints[name].__name__}, got {raw[name]!r}")
    return kind(**raw)


def refuse_unknown(raw: Mapping[str, Any], allowed: Iterable[str], where: str) -> None:
    """Raise BadInput for a key that is not allowed, with the closest one that is."""
    for key in raw:
        if key not in allowed:
            raise BadInput(f"{where}: {choices('key', key, allowed)}")
