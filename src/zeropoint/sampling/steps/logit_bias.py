"""Logit bias: add a number to the logits of chosen tokens, to ban or to favour them.

OpenAI API reference, `logit_bias`: -100 bans a token, 100 makes it the only choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, ClassVar

from zeropoint.frozen import frozen
from zeropoint.sampling.step import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class LogitBias(Step):
    """Add `logit_bias[token]` to the logit of each token in it; ids outside the vocabulary are ignored."""

    order: ClassVar[int] = 5
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def is_identity(self) -> bool:
        return not any(self.logit_bias.values())

    def native_fields(self) -> dict[str, float]:
        return {str(token): bias for token, bias in self.logit_bias.items()}

    def __call__(
        self, logits_V: NDArray[np.float32], history: Sequence[int], n_prompt: int = 0, seed: int = 0
    ) -> NDArray[np.float32]:
        import numpy as np

        logits_V = logits_V.copy()
        for token, bias in self.logit_bias.items():
            if token < len(logits_V):
                logits_V[token] += np.float32(bias)
        return logits_V
