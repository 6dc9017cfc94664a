"""Locally typical sampling: keep the tokens whose surprise is closest to the expected one.

Meister et al., "Locally typical sampling", 2023, section 4: people say neither the most probable thing nor an
improbable one, but what carries about as much information as the context leads one to expect.
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
class TypicalP(Step):
    """Keep the fewest tokens, by |surprise - entropy|, whose total probability reaches typical_p."""

    order: ClassVar[int] = 55
    typical_p: float = option(
        1.0,
        0,
        1,
        "Choose among the tokens closest to the expected surprise that together have this probability; "
        "1 is off.",
        is_open=True,
    )

    def is_identity(self) -> bool:
        return self.typical_p == 1

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        below_V = logits_V.astype(np.float64) - float(logits_V.max())  # ln of the probability, up to a sum
        weight_V = np.exp(below_V)
        total = weight_V.sum()
        # Tokens without weight are not surprising but impossible; 0 * -inf must not count.
        expected = float(np.where(weight_V > 0, weight_V * np.maximum(below_V, -1e9), 0.0).sum() / total)
        by_rank = np.argsort(np.abs(below_V - expected), kind="stable")
        cumulative_V = np.cumsum(weight_V[by_rank])
        n_kept = int(np.searchsorted(cumulative_V, self.typical_p * total)) + 1
        masked_V = np.full_like(logits_V, -np.inf)
        masked_V[by_rank[:n_kept]] = logits_V[by_rank[:n_kept]]
        return masked_V
