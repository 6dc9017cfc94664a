"""XTC ("exclude top choices"): sometimes drop all likely tokens but the least likely of them.

Weidmann, "Exclude Top Choices: a sampler that boosts creativity, breaks writing clichés", 2024 (a proposal to
text-generation-webui). Where only one token is likely, nothing changes, so the text stays coherent.
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

_STREAM = 0x5854435F74657374  # separates these random numbers from those that draw tokens


@frozen
class Xtc(Step):
    """With probability xtc_probability, drop every token of at least xtc_threshold but the least likely."""

    order: ClassVar[int] = 80
    xtc_probability: float = option(
        0.0, 0, 1, "How often to drop the likeliest tokens where there are several, as in 0.5; 0 is off."
    )
    xtc_threshold: float = option(
        0.1, 0, 1, "Tokens of at least this probability count as likely for that.", is_open=True
    )

    def is_identity(self) -> bool:
        return self.xtc_probability == 0 or self.xtc_threshold > 0.5

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        from zeropoint.sampling.draw import uniform

        if uniform(seed ^ _STREAM, len(history)) >= self.xtc_probability:
            return logits_V
        below_V = logits_V.astype(np.float64) - float(logits_V.max())
        bound = math.log(self.xtc_threshold) + math.log(np.exp(below_V).sum())
        likely = np.flatnonzero(below_V >= bound)
        if len(likely) < 2:
            return logits_V
        least = likely[len(likely) - 1 - int(np.argmin(logits_V[likely][::-1]))]  # of equals, the highest id
        logits_V = logits_V.copy()
        logits_V[likely[likely != least]] = -np.inf
        return logits_V
