"""Declare a value that a person may set: its default, its range and a line of help, next to the field.

Sampling steps, training sections, optimizers, schedules, objectives and engine options are frozen dataclasses
whose fields are made with `option`. Flags, settings, range checks and documentation pages derive from them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

__all__ = ["Option", "option", "options_of"]


@frozen
class Option:
    """One value a person may set: its name, type, default and range, and a line of help.

    type: int, float or str. is_many: a list of them. is_open: `minimum` itself is not allowed.
    """

    name: str
    type: type
    default: Any
    minimum: float | None
    maximum: float | None
    help: str
    is_many: bool = False
    is_open: bool = False

    def check(self, value: object) -> Any:
        """The value in its own type, or BadInput saying what is allowed."""
        number = self._number(value)
        if number is None or not self._is_inside(number):
            raise BadInput(f"{self.name} must be {self.range()}; got {repr(value)[:40]}")
        return number

    def range(self) -> str:
        """What is allowed, in words: "a number above 0 and at most 1"."""
        noun = {int: "a whole number", float: "a number"}.get(self.type, "a text")
        low = (
            f"{'above' if self.is_open else 'at least'} {self.minimum}" if self.minimum is not None else None
        )
        high = f"at most {self.maximum}" if self.maximum is not None else None
        return " ".join([noun, " and ".join(part for part in (low, high) if part)]).strip()

    def _number(self, value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        if self.type is int:
            return int(value) if isinstance(value, int) or value.is_integer() else None
        if isinstance(value, int) and value.bit_length() > 1023:
            return None
        return float(value) if math.isfinite(value) else None

    def _is_inside(self, number: float) -> bool:
        if self.minimum is not None and (number < self.minimum or (self.is_open and number == self.minimum)):
            return False
        return self.maximum is None or number <= self.maximum


def option(
    default: float, minimum: float | None, maximum: float | None, help: str, *, is_open: bool = False
) -> Any:
    """A dataclass field of a step, with its range and its help; the default's type is its type."""
    spec = {"minimum": minimum, "maximum": maximum, "help": help, "is_open": is_open}
    return dataclasses.field(default=default, metadata=spec)


def options_of(cls: type[Any]) -> list[Option]:
    """The options that a dataclass declares with `option`, in the order of its fields."""
    return [
        Option(f.name, type(f.default), f.default, **f.metadata)
        for f in dataclasses.fields(cls)
        if f.metadata
    ]
