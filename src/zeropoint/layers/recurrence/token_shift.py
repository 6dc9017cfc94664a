"""Token shift: each token reads the vector of the token before it, a convolution over two positions (RWKV).

x + share * (previous - x),   with a learned share per column
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.layers.token_positions import TokenPositions

__all__ = ["previous_tokens"]


def previous_tokens(x_BTD: Tensor, last_BD: Tensor | None, positions: TokenPositions | None) -> Tensor:
    """The vector before each of x: [B, T, D]; zero at the beginning of a text.

    last_BD: the last one of the previous call; None at the beginning. positions: where several documents
    share a row, each begins anew.
    """
    if last_BD is None:
        last_BD = torch.zeros_like(x_BTD[:, 0])
    previous_BTD = torch.cat([last_BD[:, None], x_BTD[:, :-1]], dim=1)
    if positions is not None and positions.document_BT is not None:
        previous_BTD = previous_BTD * (positions.positions_BT > 0)[..., None]
    return previous_BTD
