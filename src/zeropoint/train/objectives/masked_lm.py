"""Say what stands under the masks: cross-entropy of hidden tokens given all others (Devlin et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.data.batches import IGNORED

__all__ = ["MaskedLM"]


@dataclass(frozen=True)
class MaskedLM:
    """Tokens with some hidden go in; those are asked for, and a target of -100 is not.

    share: of tokens that are asked for; of these 8 in 10 are hidden, 1 is another token and 1 stays as it is
    (section 3.1), so that a model must know every token by its neighbours.
    """

    mask_prob: float = 0.15

    def __call__(self, model: nn.Module, ids_BT: Tensor, wanted_BT: Tensor) -> Tensor:
        """Mean loss of the targets that are asked for, in nats a token."""
        is_asked_BT = wanted_BT != IGNORED
        logits_NV = model(ids_BT)[is_asked_BT]
        # A sum over nothing is 0, where a mean would be no number.
        return F.cross_entropy(logits_NV.float(), wanted_BT[is_asked_BT], reduction="sum") / max(
            1, len(logits_NV)
        )

    def n_targets(self, ids_BT: Tensor, wanted_BT: Tensor) -> int:
        """How many targets the loss is the mean of."""
        return int((wanted_BT != IGNORED).sum())
