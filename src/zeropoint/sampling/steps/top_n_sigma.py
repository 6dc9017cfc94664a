"""Top-n-sigma: keep the tokens whose logits are within n standard deviations of the largest.

Tang et al., "Top-nσ: not all logits are you need", 2024, algorithm 1. Dividing the logits by a temperature
changes nothing about what it keeps.
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
class TopNSigma(Step):
    """Keep logits of at least max - top_n_sigma * (standard deviation of the finite logits)."""

    order: ClassVar[int] = 45
    top_n_sigma: float = option(
        0.0, 0, 100, "Keep tokens within this many standard deviations of the best, as in 1; 0 is off."
    )

    def is_identity(self) -> bool:
        return self.top_n_sigma == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        row_V = logits_V.astype(np.float64)
        finite = row_V[np.isfinite(row_V)]
        deviation = float(np.sqrt(np.square(finite - finite.mean()).mean()))
        keep_V = row_V >= row_V.max() - self.top_n_sigma * deviation
        return np.where(keep_V, logits_V, np.float32(-np.inf))
