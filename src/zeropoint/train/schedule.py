"""How the learning rate changes from step to step."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Noam"]


@dataclass(frozen=True)
class Noam:
    """factor * d_model^-0.5 * min(step^-0.5, step * n_warmup^-1.5): up in a line, down with the root.

    Vaswani et al., "Attention Is All You Need", 2017, equation 3. The peak is at n_warmup.
    """

    d_model: int
    n_warmup: int = 4000
    factor: float = 1.0

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 1; step 0 has that of step 1."""
        step = max(step, 1)
        return float(self.factor * self.d_model**-0.5 * min(step**-0.5, step * self.n_warmup**-1.5))
