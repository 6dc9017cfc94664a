"""Repetition penalty: make every token that occurs in the prompt or output less likely.

Keskar et al., "CTRL", 2019, section 4.1, in the form that all engines use: divide positive logits by the
penalty and multiply negative ones.
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
class RepetitionPenalty(Step):
    """Divide (if positive) or multiply (if negative) the logits of used tokens by the penalty."""

    order: ClassVar[int] = 10
    repetition_penalty: float = option(
        1.0,
        0.01,
        10,
        "Make tokens that the text has already used, question included, less likely, as in 1.1; 1 is off.",
    )

    def is_identity(self) -> bool:
        return self.repetition_penalty == 1

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        used = np.unique(np.asarray(history, dtype=np.int64))
        penalty = np.float32(self.repetition_penalty)
        logits_V = logits_V.copy()
        old = logits_V[used]
        logits_V[used] = np.where(old > 0, old / penalty, old * penalty)
        return logits_V
