"""Masked language modeling: cross-entropy of hidden tokens given all others (Devlin et al., "BERT", 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import IGNORED, Batches
from zeropoint.data.masked_lm import MaskedBatches
from zeropoint.data.text_codec import TextCodec
from zeropoint.errors import BadInput
from zeropoint.options import option
from zeropoint.train.objectives import Objective

__all__ = ["MaskedLM"]


@dataclass(frozen=True)
class MaskedLM(Objective):
    """Predict the tokens that were masked, from both sides; targets of -100 are ignored."""

    mask_prob: float = option(
        0.15,
        0,
        1,
        "Fraction of tokens to predict. Of these, 80 % are replaced by the mask, 10 % by a random token, and "
        "10 % stay unchanged (BERT, section 3.1).",
        is_open=True,
        is_open_above=True,
    )

    def __call__(self, model: nn.Module, ids_BT: Tensor, target_BT: Tensor) -> Tensor:
        """Mean cross-entropy over the targets, in nats per token."""
        is_target_BT = target_BT != IGNORED
        logits_NV = model(ids_BT)[is_target_BT]
        total = F.cross_entropy(logits_NV.float(), target_BT[is_target_BT], reduction="sum")
        return total / max(1, len(logits_NV))  # a batch without targets: 0, where a mean would be NaN

    def n_targets(self, ids_BT: Tensor, target_BT: Tensor) -> int:
        """The number of targets that are not ignored."""
        return int((target_BT != IGNORED).sum())

    def n_vocab(self, codec: TextCodec) -> int:
        """The vocabulary size, including the mask if the tokenizer has no token for it."""
        return max(codec.n_vocab, codec.mask_id + 1)

    def check_blueprint(self, blueprint: Blueprint) -> None:
        """Raise BadInput for a causal model, which cannot see the tokens after a mask."""
        if blueprint.is_decoder or any(a.is_causal for a in blueprint.attentions):
            raise BadInput(
                "the model is causal, but masked_lm predicts a token from both sides; give a model.blueprint "
                "whose attention has is_causal = false"
            )

    def text_batches(self, batches: Batches, codec: TextCodec, seed: int) -> Batches:
        """The same windows with random tokens masked: (ids [B, T], targets [B, T])."""
        return MaskedBatches(batches, codec, seed, self.mask_prob)
