"""Rotary positions: RoPE (Su et al., "RoFormer", 2021, section 3.4.2).

Columns of q and k are taken in pairs, and each pair is turned by position times its frequency:
    (a, b) -> (a cos - b sin, a sin + b cos).
The dot product of two turned pairs depends on the difference of their angles only, so a score depends on how
far apart two tokens are and not on where they are. The frequencies, and every way of stretching them to
longer texts, are in `blueprint/parts/position.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.position import Rope

__all__ = ["Rotation", "rotate", "turning"]


class Rotation(nn.Module):
    """Turns the first n_rotated columns of every head; the others pass unchanged. It has no parameters."""

    def __init__(self, spec: Rope) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, x_BHTK: Tensor, positions_BT: Tensor, n_positions: int = 0) -> Tensor:
        """The turned heads [B, H, T, K]. n_positions: how long the text may become (LongRoPE asks)."""
        frequencies = torch.tensor(self.spec.frequencies(n_positions), device=x_BHTK.device)
        angles_B1TP = (positions_BT[:, :, None] * frequencies)[:, None]
        factor = self.spec.attention_factor()
        cos, sin = angles_B1TP.cos() * factor, angles_B1TP.sin() * factor
        turned, passed = x_BHTK.tensor_split([self.spec.n_rotated], dim=-1)
        return torch.cat([rotate(turned, cos, sin, self.spec.is_interleaved).type_as(passed), passed], dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor, is_interleaved: bool) -> Tensor:
    """Turn the pairs of the last axis: columns (2i, 2i + 1) if interleaved, else (i, i + half).

    Both are the same rotation with the columns in another order, which the rows of the query and key matrices
    can take on: the original LLaMA pairs neighbours, Hugging Face's form of it pairs halves.
    """
    a, b = (x[..., 0::2], x[..., 1::2]) if is_interleaved else x.chunk(2, dim=-1)
    first, second = a * cos - b * sin, a * sin + b * cos
    if is_interleaved:
        return torch.stack([first, second], dim=-1).flatten(-2)
    return torch.cat([first, second], dim=-1)


def turning(spec: Rope) -> Rotation:
    """The rotation of a spec."""
    return Rotation(spec)
