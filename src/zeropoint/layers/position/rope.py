"""RoPE: rotary position embedding (Su et al., "RoFormer", 2021, section 3.4.2).

The columns of a query or key are grouped in pairs, and each pair (a, b) is rotated by position times
frequency:

    (a, b) -> (a cos - b sin, a sin + b cos)

The dot product of two rotated pairs depends only on the difference of their angles, so a score depends on the
distance between two tokens and not on where they are. The frequencies, and every method of stretching them to
longer contexts, are in `blueprint/parts/position.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput

__all__ = ["RopeRotation", "RotaryEmbedding", "rotary", "rotate"]


class RotaryEmbedding(nn.Module):
    """Computes cos and sin for some positions; the result rotates queries and keys. It has no parameters."""

    def __init__(self, spec: Rope) -> None:
        """Raises BadInput for an odd rotary width."""
        super().__init__()
        if spec.n_rotated < 2 or spec.n_rotated % 2:
            raise BadInput(
                f"n_rotated is {spec.n_rotated}; RoPE rotates pairs of columns; pass an even number from 2"
            )
        self.spec = spec

    def forward(self, positions_BT: Tensor, n_positions: int = 0) -> RopeRotation:
        """The rotation at these positions. n_positions: maximum text length (for LongRoPE, dynamic NTK)."""
        frequencies_P = torch.tensor(self.spec.frequencies(n_positions), device=positions_BT.device)
        angles_B1TP = (positions_BT[:, :, None] * frequencies_P)[:, None]
        factor = self.spec.attention_factor()
        cos, sin = angles_B1TP.cos() * factor, angles_B1TP.sin() * factor
        return RopeRotation(cos, sin, self.spec.is_interleaved)


@dataclass(frozen=True)
class RopeRotation:
    """cos, sin: [B, 1, T, P] for P pairs of columns. Rotates the first 2 P columns of each head."""

    cos: Tensor
    sin: Tensor
    is_interleaved: bool = False

    def __call__(self, x_BHTK: Tensor) -> Tensor:
        """Rotated queries or keys, same shape. Raises BadInput if a head has fewer than 2 P columns."""
        n_rotated, d_head = 2 * self.cos.shape[-1], x_BHTK.shape[-1]
        if n_rotated > d_head:
            raise BadInput(f"n_rotated is {n_rotated}; expected at most the width of a head, {d_head}")
        rotated, rest = x_BHTK.tensor_split([n_rotated], dim=-1)
        return torch.cat(
            [rotate(rotated, self.cos, self.sin, self.is_interleaved).type_as(rest), rest], dim=-1
        )


def rotate(x: Tensor, cos: Tensor, sin: Tensor, is_interleaved: bool) -> Tensor:
    """Rotate the pairs of the last axis: columns (2i, 2i + 1) if interleaved, else (i, i + half).

    Both layouts are the same rotation with columns in a different order, which a permutation of the rows of
    the query and key matrices undoes: the original LLaMA pairs neighbours, Hugging Face pairs halves.
    """
    a, b = (x[..., 0::2], x[..., 1::2]) if is_interleaved else x.chunk(2, dim=-1)
    first, second = a * cos - b * sin, a * sin + b * cos
    if is_interleaved:
        return torch.stack([first, second], dim=-1).flatten(-2)
    return torch.cat([first, second], dim=-1)


def rotary(spec: Rope) -> RotaryEmbedding:
    """The layer for a spec."""
    return RotaryEmbedding(spec)
