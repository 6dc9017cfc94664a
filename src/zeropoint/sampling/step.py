"""What a sampling step is, and how it declares its fields.

A step is one file in `sampling/steps/`: a frozen dataclass derived from `Step`, its fields made with
`option`. The file's name is the step's name and the fields' names are the flat names that a person
types (`--top-k`, `top_k=40`). A step of the same name in `native/runtime/sampling/` is its fast twin.

Steps import numpy where they run, not where they are declared: the flags of `zeropoint chat --help` come
from them, and need none of it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from zeropoint import registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Step", "step_classes"]

_PACKAGE = "zeropoint.sampling.steps"


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


@cache
def step_classes() -> tuple[type[Step], ...]:
    """Every registered step, in the order in which they run."""
    found = []
    for name in registry.names(_PACKAGE):
        module = registry.load(_PACKAGE, name)
        found += [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]
    return tuple(sorted((c for c in found if issubclass(c, Step)), key=lambda c: c.order))
