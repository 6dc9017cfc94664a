"""Split parameters by weight decay: matrices decay, biases, gains and other vectors do not (as in nanoGPT).

Weight decay shrinks weights a little every step, which bounds the scale of matrix products. Shrinking the
gain of a norm would silence its channel. The stacked biases of experts are vectors too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

__all__ = ["decay_groups", "is_matrix"]


def decay_groups(parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer: matrices decay. parameters: with names. No group is empty."""
    trainable = [(name, p) for name, p in parameters if p.requires_grad]
    groups = [
        {"params": [p for name, p in trainable if is_matrix(name, p)], "weight_decay": weight_decay},
        {"params": [p for name, p in trainable if not is_matrix(name, p)], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a matrix, or a stack of matrices."""
    return parameter.dim() >= 2 and not name.endswith("bias")
