"""Properties that a positional encoding should have, and encodings that lack one of them.

Kazemnejad, "Transformer Architecture: The Positional Encoding", 2019. An encoding is a function from a number
of positions to a table [T, D]. Sinusoids have every property; each alternative that the article rejects lacks
one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.layers.position.sinusoidal import sinusoids

__all__ = [
    "EncodingProperties",
    "binary",
    "examine",
    "integer",
    "ramp",
    "shift_matrix",
    "similarity",
    "sinusoidal",
]

Encoding = Callable[[int], Tensor]  # number of positions -> [T, D], float64

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class EncodingProperties:
    """Which properties an encoding has.

    is_unique: no two positions share a vector. is_consistent: the vector of a position does not depend on the
    length of the text. is_bounded: longer texts bring no larger numbers. is_smooth: neighbours are always
    equally far apart. has_linear_shift: one matrix moves every position by a fixed number of steps.
    """

    is_unique: bool
    is_consistent: bool
    is_bounded: bool
    is_smooth: bool
    has_linear_shift: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the properties that the encoding lacks."""
        return tuple(name for name, holds in vars(self).items() if not holds)


def examine(encoding: Encoding, n_positions: int = 64, shift: int = 3) -> EncodingProperties:
    """Check an encoding on texts of n_positions and of 4 * n_positions tokens."""
    short_TD, long_TD = encoding(n_positions), encoding(4 * n_positions)
    distance_TT = torch.cdist(long_TD, long_TD, compute_mode="donot_use_mm_for_euclid_dist")
    step_T = distance_TT.diagonal(1)
    source_TD, target_TD = long_TD[:-shift], long_TD[shift:]
    matrix_DD = torch.linalg.pinv(source_TD) @ target_TD
    return EncodingProperties(
        is_unique=bool((distance_TT + torch.eye(len(distance_TT)) > _TOLERANCE).all()),
        is_consistent=bool((short_TD - long_TD[:n_positions]).abs().max() < _TOLERANCE),
        is_bounded=bool(long_TD.abs().max() < 1.5 * short_TD.abs().max()),
        is_smooth=bool(step_T.max() - step_T.min() < _TOLERANCE),
        has_linear_shift=bool((source_TD @ matrix_DD - target_TD).abs().max() < _TOLERANCE),
    )


def sinusoidal(d_model: int) -> Encoding:
    """The encoding of Vaswani et al., 2017."""
    return lambda n_positions: sinusoids(torch.arange(n_positions), d_model).double()


def ramp(n_positions: int) -> Tensor:
    """From 0 at the first token to 1 at the last: a step has a different size in every text."""
    return torch.linspace(0, 1, n_positions, dtype=torch.float64)[:, None]


def integer(n_positions: int) -> Tensor:
    """0, 1, 2, ...: texts longer than those trained on bring numbers never seen."""
    return torch.arange(n_positions, dtype=torch.float64)[:, None]


def binary(n_bits: int) -> Encoding:
    """The binary digits of the position: unique and bounded, but a step may flip one digit or all."""

    def encode(n_positions: int) -> Tensor:
        numbers_T = torch.arange(n_positions)
        return torch.stack([(numbers_T >> bit) & 1 for bit in range(n_bits)], dim=-1).double()

    return encode


def shift_matrix(d_model: int, shift: float) -> Tensor:
    """M [D, D] with PE(t + shift) = M PE(t) for sinusoids at every t: a rotation of each pair of columns."""
    even = torch.arange(0, d_model, 2, dtype=torch.float64)
    angles = shift * 10000.0 ** (-even / d_model)
    matrix = torch.zeros(d_model, d_model, dtype=torch.float64)
    for i, angle in enumerate(angles):
        # Columns are ordered (sin, cos), so sin(t + shift) = sin(t) cos(shift) + cos(t) sin(shift).
        rotation = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()]).view(2, 2)
        matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = rotation
    return matrix


def similarity(d_model: int, n_positions: int) -> Tensor:
    """PE(t) . PE(s) for all t and s [T, T]: symmetric, largest at t = s, decaying with distance."""
    table_TD = sinusoidal(d_model)(n_positions)
    return table_TD @ table_TD.T
