"""The logit lens: which token the model would predict if it stopped after a given layer.

The final norm and the head read the residual stream of that layer as if it were the last one
(nostalgebraist, "Interpreting GPT: the logit lens", 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.errors import BadInput
from zeropoint.models.decoder import Decoder

__all__ = ["logits_after"]


@torch.no_grad()
def logits_after(module: Decoder, x_TD: Tensor) -> Tensor:
    """Logits [T, V] of the residual stream after any block. Raises BadInput for a model without a head."""
    if module.head is None:
        raise BadInput(
            "the logit lens needs a head, and this model has none; use a model that predicts tokens"
        )
    return module.logits(module.normalize(x_TD[None]))[0]
