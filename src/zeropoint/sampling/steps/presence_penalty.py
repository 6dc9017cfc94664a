"""Presence penalty: lower the logit of every token that occurs in the output so far by a fixed amount.

OpenAI API reference, `presence_penalty`. The prompt does not count; otherwise the end-of-turn token of a chat
would become less likely with every turn.
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
class PresencePenalty(Step):
    """Subtract the penalty from the logit of each token in the output so far."""

    order: ClassVar[int] = 20
    presence_penalty: float = option(
        0.0, -2, 2, "Make tokens that the answer has already used less likely, as in 0.5; 0 is off."
    )

    def is_identity(self) -> bool:
        return self.presence_penalty == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        used = np.unique(np.asarray(history[n_prompt:], dtype=np.int64))
        logits_V = logits_V.copy()
        logits_V[used] -= np.float32(self.presence_penalty)
        return logits_V
