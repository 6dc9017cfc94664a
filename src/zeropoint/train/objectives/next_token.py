"""Next-token prediction (causal language modeling): cross-entropy of each token given the ones before it.

Bengio et al., "A Neural Probabilistic Language Model", 2003; Radford et al., GPT, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import IGNORED
from zeropoint.errors import BadInput
from zeropoint.train.objectives import Objective

__all__ = ["NextToken"]


@dataclass(frozen=True)
class NextToken(Objective):
    """Predict the next token at every position; targets of -100 are ignored."""

    can_compile: ClassVar[bool] = True
    has_completion_loss: ClassVar[bool] = True

    def __call__(
        self, model: nn.Module, ids_BT: Tensor, next_BT: Tensor, document_BT: Tensor | None = None
    ) -> Tensor:
        """Mean cross-entropy over the targets, in nats per token.

        document_BT: for rows that pack several documents, the document of each token; attention stays within
        it.
        """
        logits_BTV = model(ids_BT) if document_BT is None else model(ids_BT, document_BT=document_BT)
        logits_NV, next_N = logits_BTV.flatten(0, 1).float(), next_BT.flatten()
        total = F.cross_entropy(logits_NV, next_N, ignore_index=IGNORED, reduction="sum")
        # With completion loss a batch can consist of prompt tokens only: the sum is then 0, a mean would be
        # NaN.
        return total / (next_N != IGNORED).sum().clamp(min=1)

    def n_targets(self, ids_BT: Tensor, next_BT: Tensor, document_BT: Tensor | None = None) -> int:
        """The number of targets that are not ignored."""
        return int((next_BT != IGNORED).sum())

    def check_blueprint(self, blueprint: Blueprint) -> None:
        """Raise BadInput for a model that is not a decoder: it would see the token it has to predict."""
        if not blueprint.is_decoder:
            raise BadInput(
                "the model is not a decoder, and next_token predicts each token from the ones before it; "
                "give a "
                'causal model.blueprint, or set objective.kind to "masked_lm" or "seq2seq"'
            )
