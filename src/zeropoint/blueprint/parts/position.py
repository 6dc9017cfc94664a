"""How a model knows where a token stands."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Rope"]


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding (Su et al., "RoFormer", 2021, section 3.4.2).

    base: the longest wavelength is about 2 pi base positions.
    n_rotated: columns of a head that are turned; the others pass unchanged.
    is_interleaved: pairs are columns (2i, 2i + 1), as GGUF stores Llama; else (i, i + n_rotated / 2).
    linear_factor: positions are divided by it (Chen et al., "Position Interpolation", 2023); 1 for none.
    frequency_factors: what each frequency is divided by (Llama 3.1's scaling); empty for none.
    """

    base: float
    n_rotated: int
    is_interleaved: bool = True
    linear_factor: float = 1.0
    frequency_factors: tuple[float, ...] = ()

    def frequencies(self) -> list[float]:
        """Radians a position for each pair: base^(-2i / n_rotated), scaled."""
        n_pairs = self.n_rotated // 2
        factors = self.frequency_factors or (1.0,) * n_pairs
        return [
            self.base ** (-2 * i / self.n_rotated) / (factors[i] * self.linear_factor) for i in range(n_pairs)
        ]
