"""Temperature: divide the logits before the softmax; 0 means greedy sampling.

Ackley, Hinton and Sejnowski, "A learning algorithm for Boltzmann machines", 1985. 0 for greedy is the
convention of all APIs.
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
    """Divide the logits by the temperature; at 0 keep only the best token (of equals, the lowest id)."""

    order: ClassVar[int] = 40
    temperature: float = option(
        1.0,
        0,
        2,
        "How random the answer is: 0 always takes the likeliest token, 1 follows the model's probabilities.",
    )

    def is_identity(self) -> bool:
        return self.temperature == 1

    def leaves_one_token(self) -> bool:
        return self.temperature == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        if self.temperature > 0:
            # A division by less than 1e-6 could overflow float32.
            return logits_V / np.float32(max(self.temperature, 1e-6))
        only_V = np.full_like(logits_V, -np.inf)
        best = int(np.argmax(logits_V))
        only_V[best] = logits_V[best]
        return only_V
