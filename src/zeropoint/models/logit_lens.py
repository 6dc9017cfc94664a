"""The logit lens: what the model would say if it stopped after a layer.

The residual stream there is read by the final norm and the head, as that of the last layer is
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
    """Logits [T, V] of the residual stream after any block. Raises BadInput for a model with no head."""
    if module.head is None:
        raise BadInput("the model has no head, through which a lens looks")
    x_BTD = x_TD[None]
    if module.final_norm is not None:
        x_BTD = module.final_norm(x_BTD)
    logits_BTV: Tensor = module.head(x_BTD, module.embedding.weight)
    return logits_BTV[0]
