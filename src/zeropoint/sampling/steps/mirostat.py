"""Mirostat: hold the surprise of the text at a target, however peaked the distributions are.

Basu et al., "Mirostat: a neural text decoding algorithm that directly controls perplexity", 2021, in the
second version of its authors, which other programs also call version 2. It keeps the tokens whose surprise in
bits is at most mu, and moves mu after each token by what its surprise was above or below the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from zeropoint.frozen import frozen
from zeropoint.options import option
from zeropoint.sampling.step import RunningStep, Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class Mirostat(Step):
    """Keep tokens of surprise up to mu, which starts at 2 * mirostat_tau bits; the best always stays."""

    order: ClassVar[int] = 90
    mirostat_tau: float = option(
        0.0, 0, 100, "Hold the surprise of the text at this many bits per token, as in 5; 0 is off."
    )
    mirostat_eta: float = option(0.1, 0, 1, "How fast that follows what was written.")

    def is_identity(self) -> bool:
        return self.mirostat_tau == 0

    def start(self) -> RunningStep:
        return _RunningMirostat(self)

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        return self.keep(logits_V, 2 * self.mirostat_tau)

    def keep(self, logits_V: NDArray[np.float32], mu: float) -> NDArray[np.float32]:
        """The logits with the tokens of more than mu bits excluded."""
        import numpy as np

        below_V = logits_V.astype(np.float64) - float(logits_V.max())
        bound = min(math.log(np.exp(below_V).sum()) - mu * math.log(2), 0.0)
        return np.where(below_V >= bound, logits_V, np.float32(-np.inf))


class _RunningMirostat:
    def __init__(self, step: Mirostat) -> None:
        self._step, self._mu = step, 2 * step.mirostat_tau

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        return self._step.keep(logits_V, self._mu)

    def observe(self, logits_V: NDArray[np.float32], token: int) -> None:
        import numpy as np

        below_V = logits_V.astype(np.float64) - float(logits_V.max())
        bits = (math.log(np.exp(below_V).sum()) - float(below_V[token])) / math.log(2)
        self._mu -= self._step.mirostat_eta * (bits - self._step.mirostat_tau)
