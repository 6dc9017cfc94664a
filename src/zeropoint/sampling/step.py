"""What a sampling step is, and how it declares its fields.

A step is one file in `sampling/steps/`: a frozen dataclass derived from `Step`, its fields made with
`option`. The file's name is the step's name and the fields' names are the flat names that a person
types (`--top-k`, `top_k=40`). A step of the same name in `native/runtime/sampling/` is its fast twin.

Steps import numpy where they run, not where they are declared: the flags of `zeropoint chat --help` come
from them, and need none of it.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from zeropoint import registry
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Option", "Step", "option", "step_classes", "step_options"]

_PACKAGE = "zeropoint.sampling.steps"


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


class Step(ABC):
    """One change to the logits. Subclasses are frozen dataclasses with `option` fields.

    order: steps run by rising order, whatever order they were given in.
    """

    order: ClassVar[int]

    @property
    def name(self) -> str:
        """The name of the step: that of its file, and of its native twin."""
        return type(self).__module__.rpartition(".")[2]

    def fields(self) -> dict[str, Any]:
        """The flat names and values of this step."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @abstractmethod
    def is_identity(self) -> bool:
        """True if these values leave every row of logits as it is."""

    @abstractmethod
    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0
    ) -> NDArray[np.float32]:
        """New logits; the given ones are not modified. A token ruled out gets -inf.

        history: token ids of the sequence so far, of which the first n_prompt are the prompt.
        """


def option(
    default: float, minimum: float | None, maximum: float | None, help: str, *, is_open: bool = False
) -> Any:
    """A dataclass field of a step, with its range and its help; the default's type is its type."""
    spec = {"minimum": minimum, "maximum": maximum, "help": help, "is_open": is_open}
    return dataclasses.field(default=default, metadata=spec)


@cache
def step_classes() -> tuple[type[Step], ...]:
    """Every registered step, in the order in which they run."""
    found = []
    for name in registry.names(_PACKAGE):
        module = registry.load(_PACKAGE, name)
        found += [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    return tuple(sorted((c for c in found if issubclass(c, Step)), key=lambda c: c.order))


def step_options(cls: type[Step]) -> list[Option]:
    """The options of one step, from its fields."""
    return [
        Option(f.name, type(f.default), f.default, **f.metadata)
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
    ]
