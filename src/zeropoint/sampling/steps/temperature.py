"""Temperature: divide the logits before the softmax; 0 means the single best token.

Ackley, Hinton, Sejnowski 1985 for the idea; 0 as greedy choice is the convention of every API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from zeropoint.frozen import frozen
from zeropoint.options import option
from zeropoint.sampling.step import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class Temperature(Step):
    """Logits divided by the temperature; at 0 only the best token stays, the lowest id among equals."""

    order: ClassVar[int] = 40
    temperature: float = option(1.0, 0, 2, "Randomness: 0 always takes the best token, 1 is the model's own.")

    def is_identity(self) -> bool:
        return self.temperature == 1

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        if self.temperature > 0:
            # Below float32's smallest normal number a division would make infinities.
            return logits_V / np.float32(max(self.temperature, 1e-6))
        only_V = np.full_like(logits_V, -np.inf)
        best = int(np.argmax(logits_V))
        only_V[best] = logits_V[best]
        return only_V
