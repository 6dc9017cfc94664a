"""Presence penalty: a fixed amount off the logit of every token that the answer already holds.

OpenAI API reference, `presence_penalty`. The prompt does not count, or a chat's own end-of-turn
token would be pushed down with every turn.
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
    """Subtract the penalty once from each token of the answer so far."""

    order: ClassVar[int] = 20
    presence_penalty: float = option(
        0.0, -2, 2, "Above 0 discourages tokens that the answer already holds; 0 is off."
    )

    def is_identity(self) -> bool:
        return self.presence_penalty == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        seen = np.unique(np.asarray(history[n_prompt:], dtype=np.int64))
        logits_V = logits_V.copy()
        logits_V[seen] -= np.float32(self.presence_penalty)
        return logits_V
