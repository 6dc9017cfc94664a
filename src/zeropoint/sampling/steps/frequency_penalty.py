"""Frequency penalty: lower the logit of a token for each of its occurrences in the output so far.

OpenAI API reference, `frequency_penalty`. The prompt does not count (see presence_penalty).
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
class FrequencyPenalty(Step):
    """Subtract count * penalty from the logit of each token in the output so far."""

    order: ClassVar[int] = 30
    frequency_penalty: float = option(
        0.0, -2, 2, "Make a token less likely with each time the answer has used it, as in 0.5; 0 is off."
    )

    def is_identity(self) -> bool:
        return self.frequency_penalty == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        used, counts = np.unique(np.asarray(history[n_prompt:], dtype=np.int64), return_counts=True)
        logits_V = logits_V.copy()
        logits_V[used] -= counts.astype(np.float32) * np.float32(self.frequency_penalty)
        return logits_V
