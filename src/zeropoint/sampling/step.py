"""The base class of sampling steps.

A step is one file in `sampling/steps/`: a frozen dataclass that derives from `Step`, with fields made by
`option`. Field names are the parameter names (`--top-k`, `top_k=40`). A step with the same file name in
`native/runtime/sampling/` is its native version.

Steps import numpy only when they run, so that `zeropoint chat --help`, which lists their fields, starts fast.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from zeropoint import registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RunningStep", "Step", "step_classes"]

_PACKAGE = "zeropoint.sampling.steps"


class RunningStep(Protocol):
    """A step during one answer: `Step.__call__` and `Step.observe`."""

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        """As `Step.__call__`."""

    def observe(self, logits_V: NDArray[np.float32], token: int) -> None:
        """As `Step.observe`."""


class Step(ABC):
    """One transformation of the logits. Subclasses are frozen dataclasses with `option` fields.

    order: steps run in ascending order, however they were given.
    """

    order: ClassVar[int]

    @property
    def name(self) -> str:
        """The file name of the step, and of its native version."""
        return type(self).__module__.rpartition(".")[2]

    def fields(self) -> dict[str, Any]:
        """The names and values of the step's parameters."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def native_fields(self) -> dict[str, float]:
        """What the native version is made from: `fields`, and 1 or a value for each token by its id."""
        return self.fields()

    def with_tokenizer(self, spellings: Callable[[], Sequence[str]]) -> Step:
        """The step for a tokenizer. spellings: returns the text of every token, in the order of their ids."""
        return self

    def start(self) -> RunningStep:
        """The step for one answer. A step that remembers what was drawn returns an object of its own."""
        return self

    def observe(self, logits_V: NDArray[np.float32], token: int) -> None:  # noqa: B027  # most steps forget
        """A token was drawn from these logits, which all steps have modified."""

    @abstractmethod
    def is_identity(self) -> bool:
        """Whether these values leave the logits unchanged."""

    def leaves_one_token(self) -> bool:
        """Whether the step excludes every token but one, so that no later step matters."""
        return False

    @abstractmethod
    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        """New logits; the input is not modified. Excluded tokens get -inf.

        history: token ids of the sequence so far, of which the first n_prompt are the prompt. seed: of the
        random numbers, of which a step may use that of its own stream at position len(history).
        """


@cache
def step_classes() -> tuple[type[Step], ...]:
    """Every step, in the order in which they run."""
    classes = [registry.load_class(_PACKAGE, name, Step) for name in registry.names(_PACKAGE)]  # type: ignore[type-abstract]
    return tuple(sorted(classes, key=lambda cls: cls.order))
