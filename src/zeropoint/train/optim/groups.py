"""Which weights decay: those with two axes or more; biases, gains and single vectors do not (as in nanoGPT).

What decays is pulled to zero a little every step, which keeps products of matrices small. A gain that is
pulled to zero would silence its whole channel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

__all__ = ["decay_groups"]


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer of torch: those that decay, then those that do not; none is empty."""
    learning = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
