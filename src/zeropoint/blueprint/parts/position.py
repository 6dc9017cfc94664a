"""How a model knows where a token stands.

A position acts in one of two places: on the embedding (`Learned`, `Sinusoidal`) or inside attention
(`Rope`, `Alibi`, `RelativeBias`). `NoPosition` is a choice too.
"""

from __future__ import annotations

import math

from zeropoint.frozen import frozen

__all__ = [
    "Alibi",
    "AttentionPosition",
    "DynamicNtkScaling",
    "EmbeddingPosition",
    "Learned",
    "LinearScaling",
    "Llama3Scaling",
    "LongRopeScaling",
    "NoPosition",
    "NtkScaling",
    "RelativeBias",
    "Rope",
    "RopeScaling",
    "Sinusoidal",
    "TurningPosition",
    "YarnScaling",
]


@frozen
class NoPosition:
    """Nothing is added; order is known from the causal mask alone (Haviv et al., 2022)."""


@frozen
class Learned:
    """A learned vector a position, added to the embedding (Gehring et al., 2017; GPT-2, BERT)."""

    n_positions: int


@frozen
class Sinusoidal:
    """sin and cos of geometric wavelengths, added to the embedding (Vaswani et al., 2017, section 3.5)."""

    n_positions: int


@frozen
class LinearScaling:
    """Positions divided by `factor` (Chen et al., "Position Interpolation", 2023)."""

    factor: float


@frozen
class NtkScaling:
    """The base raised so that the longest wavelength stretches by `factor` (bloc97, "NTK-aware", 2023)."""

    factor: float


@frozen
class DynamicNtkScaling:
    """`NtkScaling` that grows with the sequence: none within n_original positions (emozilla, 2023).

    The base is that of a factor of `factor` * n_positions / n_original - (factor - 1).
    """

    factor: float
    n_original: int


@frozen
class Llama3Scaling:
    """Long wavelengths divided by `factor`, short ones kept, a ramp between (Llama 3.1, 2024)."""

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    n_original: int


@frozen
class YarnScaling:
    """Interpolation by parts with attention temperature (Peng et al., "YaRN", 2023, sections 3.2 and 3.3).

    attention_factor: what q and k are multiplied with; None: 0.1 ln(factor) + 1.
    """

    factor: float
    n_original: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None


@frozen
class LongRopeScaling:
    """A factor a frequency, one set within n_original positions, one beyond (Ding et al., "LongRoPE", 2024).

    attention_factor: what q and k are multiplied with.
    """

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    n_original: int
    attention_factor: float = 1.0


RopeScaling = LinearScaling | NtkScaling | DynamicNtkScaling | Llama3Scaling | YarnScaling | LongRopeScaling


@frozen
class Rope:
    """Rotary position embedding (Su et al., "RoFormer", 2021, section 3.4.2).

    base: the longest wavelength is about 2 pi base positions.
    n_rotated: columns of a head that are turned; the others pass unchanged.
    is_interleaved: pairs are columns (2i, 2i + 1), as GGUF stores Llama; else (i, i + n_rotated / 2).
    frequency_factors: what each frequency is divided by, as GGUF stores a scaling; empty for none.
    """

    base: float
    n_rotated: int
    is_interleaved: bool = False
    scaling: RopeScaling | None = None
    frequency_factors: tuple[float, ...] = ()

    def frequencies(self, n_positions: int = 0) -> list[float]:
        """Radians a position for each pair, of a sequence of n_positions (dynamic NTK and LongRoPE ask)."""
        n_pairs = self.n_rotated // 2
        plain = [self.base ** (-2 * i / self.n_rotated) for i in range(n_pairs)]
        if self.frequency_factors:
            plain = [f / factor for f, factor in zip(plain, self.frequency_factors, strict=True)]
        match self.scaling:
            case None:
                return plain
            case LinearScaling(factor):
                return [f / factor for f in plain]
            case NtkScaling(factor):
                return self._raised(factor)
            case DynamicNtkScaling(factor, n_original):
                return self._raised(factor * max(n_positions / n_original, 1.0) - (factor - 1))
            case Llama3Scaling():
                return [_llama3(f, self.scaling) for f in plain]
            case YarnScaling():
                return _yarn(plain, self, self.scaling)
            case LongRopeScaling(short, long, n_original):
                factors = long if n_positions > n_original else short
                return [f / factor for f, factor in zip(plain, factors, strict=True)]

    def _raised(self, factor: float) -> list[float]:
        base = self.base * factor ** (self.n_rotated / (self.n_rotated - 2))
        return [base ** (-2 * i / self.n_rotated) for i in range(self.n_rotated // 2)]

    def attention_factor(self) -> float:
        """What the rotated q and k are each multiplied with: 1 but for YaRN and LongRoPE."""
        match self.scaling:
            case YarnScaling(factor, attention_factor=None):
                return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
            case YarnScaling() | LongRopeScaling():
                return float(self.scaling.attention_factor or 1.0)
            case _:
                return 1.0


@frozen
class Alibi:
    """Scores fall linearly with distance, a slope a head (Press et al., "Train Short, Test Long", 2021)."""

    def slopes(self, n_heads: int) -> list[float]:
        """2^(-8i/n) for a power of two; else those of the next lower power, and every other of the next."""
        power = 2 ** math.floor(math.log2(n_heads))
        slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
        extra = [2 ** (-4 * (2 * i + 1) / power) for i in range(n_heads - power)]
        return slopes + extra


@frozen
class RelativeBias:
    """A learned bias a head and bucket of distance, shared by all layers (Raffel et al., "T5", 2020)."""

    n_buckets: int
    longest_distance: int
    is_bidirectional: bool


EmbeddingPosition = Learned | Sinusoidal | NoPosition
TurningPosition = Rope  # those that turn q and k
AttentionPosition = TurningPosition | Alibi | RelativeBias | NoPosition


def _llama3(frequency: float, s: Llama3Scaling) -> float:
    wavelength = 2 * math.pi / frequency
    if wavelength < s.n_original / s.high_frequency_factor:
        return frequency
    if wavelength > s.n_original / s.low_frequency_factor:
        return frequency / s.factor
    ramp = (s.n_original / wavelength - s.low_frequency_factor) / (
        s.high_frequency_factor - s.low_frequency_factor
    )
    return (1 - ramp) * frequency / s.factor + ramp * frequency


def _yarn(plain: list[float], rope: Rope, s: YarnScaling) -> list[float]:
    def pair_of(rotations: float) -> float:
        """The pair that turns so many times within the original context."""
        turns = s.n_original / (rotations * 2 * math.pi)
        return rope.n_rotated * math.log(turns) / (2 * math.log(rope.base))

    low = max(math.floor(pair_of(s.beta_fast)), 0)
    high = min(math.ceil(pair_of(s.beta_slow)), rope.n_rotated - 1)
    width = max(high - low, 0.001)
    scaled = []
    for i, frequency in enumerate(plain):
        interpolated = min(max((i - low) / width, 0.0), 1.0)
        scaled.append(frequency * (1 - interpolated) + frequency / s.factor * interpolated)
    return scaled
