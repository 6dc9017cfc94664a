"""Say what comes next: cross-entropy of every token given those before it (Bengio et al., 2003; GPT)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.data.batches import IGNORED

__all__ = ["NextToken"]


@dataclass(frozen=True)
class NextToken:
    """ids in, at each place the next id asked for; a target of -100 is not."""

    def __call__(
        self, model: nn.Module, ids_BT: Tensor, next_BT: Tensor, document_BT: Tensor | None = None
    ) -> Tensor:
        """Mean loss of the targets that are asked for, in nats a token.

        document_BT: of several documents in a row, the one that each token belongs to and alone sees.
        """
        logits_BTV = model(ids_BT) if document_BT is None else model(ids_BT, document_BT=document_BT)
        logits_NV, next_N = logits_BTV.flatten(0, 1).float(), next_BT.flatten()
        total = F.cross_entropy(logits_NV, next_N, ignore_index=IGNORED, reduction="sum")
        # Rows may be prompt from end to end: a sum over nothing is 0, where a mean would be no number.
        return total / (next_N != IGNORED).sum().clamp(min=1)

    def n_targets(self, ids_BT: Tensor, next_BT: Tensor, document_BT: Tensor | None = None) -> int:
        """How many targets the loss is the mean of."""
        return int((next_BT != IGNORED).sum())
