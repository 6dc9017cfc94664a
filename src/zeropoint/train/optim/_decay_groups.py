"""Split parameters by weight decay: matrices decay, biases, gains and other vectors do not (as in nanoGPT).

Weight decay shrinks weights a little every step, which bounds the scale of matrix products. Shrinking the
gain of a norm would silence its channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

__all__ = ["decay_groups"]


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer: weights with two or more axes decay. No group is empty."""
    trainable = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
