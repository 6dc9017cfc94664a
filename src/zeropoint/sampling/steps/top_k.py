"""Top-k: keep only the k most probable tokens (Fan, Lewis and Dauphin, 2018, section 5.4)."""

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
class TopK(Step):
    """Keep the top_k largest logits (of equals, the lowest ids); 0 keeps all."""

    order: ClassVar[int] = 50
    top_k: int = option(0, 0, 2**31 - 1, "Choose among the k likeliest tokens only, as in 40; 0 is off.")

    def is_identity(self) -> bool:
        return self.top_k == 0

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        top = np.argsort(-logits_V, kind="stable")[: self.top_k]
        masked_V = np.full_like(logits_V, -np.inf)
        masked_V[top] = logits_V[top]
        return masked_V
