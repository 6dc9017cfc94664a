"""Min-p: exclude tokens that are less than min_p times as probable as the most probable one.

Nguyen et al., "Turning up the heat: min-p sampling", 2024, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from zeropoint.frozen import frozen
from zeropoint.options import option
from zeropoint.sampling.step import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class MinP(Step):
    """Keep tokens with p_i >= min_p * p_max, using p_i / p_max = exp(logit_i - logit_max)."""

    order: ClassVar[int] = 70
    min_p: float = option(
        0.0, 0, 1, "Exclude tokens less likely than this share of the likeliest one, as in 0.05; 0 is off."
    )

    def is_identity(self) -> bool:
        return self.min_p == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        row_V = logits_V.astype(np.float64)
        keep_V = row_V - row_V.max() >= math.log(self.min_p)
        return np.where(keep_V, logits_V, np.float32(-np.inf))
