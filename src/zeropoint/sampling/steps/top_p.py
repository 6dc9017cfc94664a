"""Top-p (nucleus sampling): keep the smallest set of most probable tokens with total probability p.

Holtzman et al., "The curious case of neural text degeneration", 2019, section 3.1.
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
class TopP(Step):
    """Keep the fewest most probable tokens whose total probability reaches top_p; at least one."""

    order: ClassVar[int] = 60
    top_p: float = option(
        1.0,
        0,
        1,
        "Choose among the likeliest tokens that together have this probability, as in 0.9; 1 is off.",
        is_open=True,
    )

    def is_identity(self) -> bool:
        return self.top_p == 1

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        by_rank = np.argsort(-logits_V, kind="stable")
        ranked_V = logits_V[by_rank].astype(np.float64)
        cumulative_V = np.cumsum(np.exp(ranked_V - ranked_V[0]))
        n_kept = int(np.searchsorted(cumulative_V, self.top_p * cumulative_V[-1])) + 1
        masked_V = np.full_like(logits_V, -np.inf)
        masked_V[by_rank[:n_kept]] = logits_V[by_rank[:n_kept]]
        return masked_V
