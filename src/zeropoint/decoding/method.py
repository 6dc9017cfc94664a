"""`DecodingMethod`: what a request adds to plain decoding, asked before and told after every step.

Speculation (`speculator.py`) proposes guesses of the next tokens. Whatever it proposes, the answer stays that
of plain decoding: `Engine.steer` verifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DecodingMethod"]


class DecodingMethod(Protocol):
    """The arguments of `Engine.steer` for one request, step by step."""

    def before_step(self, n_others: int) -> tuple[Sequence[int], NDArray[np.uint32] | None]:
        """Guesses of the next tokens, and masks of what is allowed there; ([], None) for neither.

        n_others: rows that the step computes for other requests, as far as they are known.
        """

    def after_step(self, new_ids: Sequence[int], n_rows: int, seconds: float) -> None:
        """What the step sampled for this request. n_rows: rows of the whole step; seconds: its duration."""

    def close(self) -> None:
        """The request is over: free what the method holds."""
