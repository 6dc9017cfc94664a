"""Declare an option once: its default, its range and a line of help, next to the field that stores it.

Sampling steps, training sections, optimizers, schedules, objectives and the engine's options are frozen
dataclasses whose fields are made with `option`. Flags, settings, range checks and documentation tables all
derive from these declarations.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = ["MAX_INT", "Option", "escape", "option", "options_of", "problems", "unescape"]

MAX_INT = 2**31 - 1
"""Upper bound of counts and sizes, so that they fit a C int."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}

Allowed = Iterable[str] | Callable[[], Iterable[str]]
"""The names an option accepts, or a function that lists them when they are first needed."""


@frozen
class Option:
    """One option: its name, type, default and range, and a line of help.

    type: int, float, bool or str. default: None where the program picks a value. minimum, maximum: None for
    an open end. is_many: the option takes a list. is_open: `minimum` itself is not allowed; is_open_above:
    `maximum` itself is not. choices: the names a str option accepts; empty for any text. unit: of a number,
    such as "MB". has_escapes: a shell or a line of text passes special characters as `unescape` reads them.
    prefixes: beginnings of further texts that an option with choices accepts, as in "draft=".
    """

    name: str
    type: type
    default: Any
    minimum: float | None
    maximum: float | None
    help: str
    is_many: bool = False
    is_open: bool = False
    choices: Allowed = ()
    unit: str = ""
    is_open_above: bool = False
    has_escapes: bool = False
    prefixes: tuple[str, ...] = ()

    def check(self, value: object) -> Any:
        """The value in the option's own type. Raises BadInput naming the option and what it accepts."""
        if self.type is str and isinstance(value, str):
            is_open = any(value.startswith(prefix) for prefix in self.prefixes)
            if (allowed := self.allowed()) and value not in allowed and not is_open:
                raise BadInput(choices(self.name, value, (*allowed, *self.prefixes)))
            return value
        if self.type is bool and isinstance(value, bool):
            return value
        number = self._number(value)
        if number is None or not self._is_inside(number):
            raise BadInput(f"{self.name} must be {self.range()}; got {repr(value)[:40]}")
        return number

    def allowed(self) -> tuple[str, ...]:
        """The names this option accepts; empty where it accepts any value of its type and range."""
        return tuple(self.choices() if callable(self.choices) else self.choices)

    def range(self) -> str:
        """The accepted values in words: "a number above 0 and at most 1"."""
        if allowed := self.allowed():
            return f"one of {', '.join((*allowed, *(f'{prefix}...' for prefix in self.prefixes)))}"
        noun = {int: "a whole number", float: "a number", bool: "true or false"}.get(self.type, "a text")
        noun += f" of {self.unit}" if self.unit else ""
        if None not in (self.minimum, self.maximum) and not (self.is_open or self.is_open_above):
            return f"{noun} between {self.minimum} and {self.maximum}"
        low = (
            f"{'above' if self.is_open else 'at least'} {self.minimum}" if self.minimum is not None else None
        )
        high = None
        if self.maximum is not None:
            high = f"{'below' if self.is_open_above else 'at most'} {self.maximum}"
        return " ".join([noun, " and ".join(part for part in (low, high) if part)]).strip()

    def _number(self, value: object) -> float | None:
        if self.type not in (int, float) or isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if self.type is int:
            return int(value) if isinstance(value, int) or value.is_integer() else None
        if isinstance(value, int) and value.bit_length() > 1023:
            return None
        return float(value) if math.isfinite(value) else None

    def _is_inside(self, number: float) -> bool:
        if self.minimum is not None and (number < self.minimum or (self.is_open and number == self.minimum)):
            return False
        if self.maximum is None:
            return True
        return number < self.maximum or (number == self.maximum and not self.is_open_above)


def escape(text: str) -> str:
    r"""The text as it is typed: the inverse of `unescape`."""
    for letter, character in reversed(_ESCAPES.items()):  # the backslash first
        text = text.replace(character, f"\\{letter}")
    return text


def unescape(text: str) -> str:
    r"""Replace `\n`, `\t`, `\r` and `\\`, which a shell passes verbatim, by the characters they stand for.

    Any other backslash stays.
    """
    return re.sub(r"\\([ntr\\])", lambda match: _ESCAPES[match[1]], text)


def option(
    default: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    help: str = "",
    *,
    type: type | None = None,
    is_open: bool = False,
    is_open_above: bool = False,
    choices: Allowed = (),
    unit: str = "",
) -> Any:
    """A dataclass field that declares an option. type: needed only where the default is None.

    A tuple default declares a list of items of its first item's type. An annotation `Literal[...]` declares
    the choices of a str.
    """
    is_many = isinstance(default, tuple) and bool(default)
    example = default[0] if is_many else default
    spec = {
        "minimum": minimum,
        "maximum": maximum,
        "help": help,
        "is_many": is_many,
        "is_open": is_open,
        "is_open_above": is_open_above,
        "choices": choices,
        "unit": unit,
        "type": type or example.__class__,
    }
    return dataclasses.field(default=default, metadata=spec)


def options_of(cls: type[Any]) -> list[Option]:
    """The options that a dataclass declares with `option`, in field order."""
    declared = [field for field in dataclasses.fields(cls) if field.metadata]
    # Resolving annotations is slow; only the choices of a str may be declared there, as a Literal.
    hints = get_type_hints(cls) if any(isinstance(field.default, str) for field in declared) else {}
    return [_option(field, hints.get(field.name)) for field in declared]


def _option(field: dataclasses.Field[Any], hint: Any) -> Option:
    spec = dict(field.metadata)
    if get_origin(hint) is Literal:
        spec["choices"] = get_args(hint)
    return Option(field.name, default=field.default, **spec)


def problems(part: Any, prefix: str = "") -> Iterator[str]:
    """Yield a sentence for each option of an instance that is out of range. prefix: as in "train."."""
    for declared in options_of(type(part)):
        value = getattr(part, declared.name)
        items = enumerate(value) if declared.is_many else [(-1, value)]
        for i, item in items:
            name = f"{prefix}{declared.name}[{i}]" if i >= 0 else f"{prefix}{declared.name}"
            try:
                dataclasses.replace(declared, name=name, is_many=False).check(item)
            except BadInput as error:
                yield str(error)
