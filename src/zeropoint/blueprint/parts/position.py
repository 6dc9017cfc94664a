"""Positional encodings: how a model knows the order of tokens, which attention alone ignores.

Three kinds: added to the embedding (`Learned`, `Sinusoidal`), rotating queries and keys (`Rope`, with the
scalings that extend its context), or added to the attention scores (`Alibi`, `RelativeBias`).
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
    "ProportionalScaling",
    "RelativeBias",
    "Rope",
    "RopeScaling",
    "RotaryPosition",
    "Sinusoidal",
    "YarnScaling",
]


@frozen
class NoPosition:
    """No encoding; the causal mask alone reveals the order (Haviv et al., 2022)."""


@frozen
class Learned:
    """A learned vector per position, added to the embedding (Gehring et al., 2017; GPT-2, BERT)."""

    n_positions: int


@frozen
class Sinusoidal:
    """Sines and cosines of many wavelengths, added to the embedding (Vaswani et al., 2017, section 3.5)."""

    n_positions: int


@frozen
class LinearScaling:
    """Divide positions by `factor` (Chen et al., "Position Interpolation", 2023)."""

    factor: float


@frozen
class NtkScaling:
    """Raise the base so that the longest wavelength grows by `factor` (bloc97, "NTK-aware scaling", 2023)."""

    factor: float


@frozen
class DynamicNtkScaling:
    """`NtkScaling` that grows with the sequence, and starts beyond n_original positions (emozilla, 2023).

    The effective factor is `factor` * n_positions / n_original - (factor - 1).
    """

    factor: float
    n_original: int


@frozen
class Llama3Scaling:
    """Divide low frequencies by `factor`, leave high ones unchanged, interpolate between (Llama 3.1, 2024).

    low_frequency_factor, high_frequency_factor: wavelengths above n_original / low are scaled, those below
    n_original / high are not. n_original: context length before the extension.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    n_original: int


@frozen
class YarnScaling:
    """Interpolate by frequency, with an attention temperature (Peng et al., "YaRN", 2023, sections 3.2, 3.3).

    beta_fast, beta_slow: pairs with more than beta_fast rotations within n_original positions are unchanged,
    those with fewer than beta_slow are divided by `factor`. attention_factor: factor of q and k; None for
    0.1 ln(factor) + 1. has_whole_pairs: both limits are rounded to whole pairs (gpt-oss does not).
    """

    factor: float
    n_original: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    has_whole_pairs: bool = True


@frozen
class LongRopeScaling:
    """One divisor per frequency, with others after n_original positions (Ding et al., "LongRoPE", 2024).

    attention_factor: factor of q and k.
    """

    short_factors: tuple[float, ...]
    long_factors: tuple[float, ...]
    n_original: int
    attention_factor: float = 1.0


@frozen
class ProportionalScaling:
    """Rotate the first `share` of the pairs and leave the others, as if their frequency were 0 (Gemma 4).

    Unlike with fewer rotated columns, the pairs that rotate are spread over the whole head.
    """

    share: float


RopeScaling = (
    LinearScaling
    | NtkScaling
    | DynamicNtkScaling
    | Llama3Scaling
    | YarnScaling
    | LongRopeScaling
    | ProportionalScaling
)


@frozen
class Rope:
    """Rotary position embedding (Su et al., "RoFormer", 2021, section 3.4.2).

    Pair i of a query or key head is rotated by position * base^(-2i / n_rotated) radians, so that q . k
    depends only on the distance between two tokens.

    base: sets the longest wavelength, about 2 pi base positions.
    n_rotated: columns of a head to rotate, an even number; the others pass unchanged (phi-2 rotates 40 %).
    is_interleaved: pairs are columns (2i, 2i + 1), as GGUF stores Llama; else (i, i + n_rotated / 2).
    frequency_factors: divisors of the frequencies, as GGUF stores a scaling; empty for none.
    """

    base: float
    n_rotated: int
    is_interleaved: bool = False
    scaling: RopeScaling | None = None
    frequency_factors: tuple[float, ...] = ()

    def frequencies(self, n_positions: int = 0) -> list[float]:
        """Radians per position for each pair: [n_rotated / 2].

        n_positions: length of the sequence, which only dynamic NTK and LongRoPE depend on.
        """
        unscaled = [self.base ** (-2 * i / self.n_rotated) for i in range(self.n_rotated // 2)]
        if self.frequency_factors:
            unscaled = [f / factor for f, factor in zip(unscaled, self.frequency_factors, strict=True)]
        match self.scaling:
            case None:
                return unscaled
            case LinearScaling(factor):
                return [f / factor for f in unscaled]
            case NtkScaling(factor):
                return self._ntk_frequencies(factor)
            case DynamicNtkScaling(factor, n_original):
                return self._ntk_frequencies(factor * max(n_positions / n_original, 1.0) - (factor - 1))
            case Llama3Scaling():
                return [_llama3(f, self.scaling) for f in unscaled]
            case ProportionalScaling(share):
                n_rotating = int(share * self.n_rotated / 2 + 1e-6)
                return [*unscaled[:n_rotating], *[0.0] * (len(unscaled) - n_rotating)]
            case YarnScaling():
                return _yarn(unscaled, self, self.scaling)
            case LongRopeScaling(short, long, n_original):
                factors = long if n_positions > n_original else short
                return [f / factor for f, factor in zip(unscaled, factors, strict=True)]

    def _ntk_frequencies(self, factor: float) -> list[float]:
        base = self.base * factor ** (self.n_rotated / (self.n_rotated - 2))
        return [base ** (-2 * i / self.n_rotated) for i in range(self.n_rotated // 2)]

    def attention_factor(self) -> float:
        """The factor of the rotated q and k: 1, except for YaRN and LongRoPE."""
        match self.scaling:
            case YarnScaling(factor, attention_factor=None):
                return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
            case YarnScaling() | LongRopeScaling():
                return float(self.scaling.attention_factor or 1.0)
            case _:
                return 1.0


@frozen
class Alibi:
    """Subtract slope * distance from the scores, one slope per head (Press et al., "ALiBi", 2021)."""

    def slopes(self, n_heads: int) -> list[float]:
        """The slope of each head: 2^(-8i / n_heads) for i = 1 to n_heads, if that is a power of two.

        For other numbers, the slopes of the next lower power, then every second one of the next higher.
        """
        power = 2 ** math.floor(math.log2(n_heads))
        slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
        extra = [2 ** (-4 * (2 * i + 1) / power) for i in range(n_heads - power)]
        return slopes + extra


@frozen
class RelativeBias:
    """Add a learned bias per head and distance bucket, shared by all layers (Raffel et al., "T5", 2020).

    Half of the buckets hold one distance each; the others grow logarithmically up to max_distance.
    is_bidirectional: half of the buckets are for keys after the query (encoders).
    """

    n_buckets: int
    max_distance: int
    is_bidirectional: bool


EmbeddingPosition = Learned | Sinusoidal | NoPosition
RotaryPosition = Rope  # the encodings that rotate q and k
AttentionPosition = RotaryPosition | Alibi | RelativeBias | NoPosition


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


def _yarn(unscaled: list[float], rope: Rope, s: YarnScaling) -> list[float]:
    def pair_with(n_rotations: float) -> float:
        """The (fractional) pair that rotates this often within the original context."""
        positions_per_radian = s.n_original / (n_rotations * 2 * math.pi)
        return rope.n_rotated * math.log(positions_per_radian) / (2 * math.log(rope.base))

    low, high = pair_with(s.beta_fast), pair_with(s.beta_slow)
    if s.has_whole_pairs:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.n_rotated - 1)
    width = max(high - low, 0.001)
    scaled = []
    for i, frequency in enumerate(unscaled):
        ramp = min(max((i - low) / width, 0.0), 1.0)
        scaled.append(frequency * (1 - ramp) + frequency / s.factor * ramp)
    return scaled
