"""Say what comes next in the answer, with some doubt: cross-entropy against smoothed targets.

Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7; Vaswani et al., 2017, section 5.4.
The form is that of "The Annotated Transformer": Kullback-Leibler divergence, doubt spread over all tokens
but the right one and padding, nothing asked where the target is padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zeropoint.errors import BadInput

__all__ = ["Seq2SeqLoss", "smoothed"]


@dataclass(frozen=True)
class Seq2SeqLoss:
    """Teacher forcing: the answer's tokens but the last go in, its tokens but the first are asked for.

    padding: the id that fills sequences up; below zero it is no token of the vocabulary. smoothing:
    probability given to tokens other than the right one.
    """

    KIND: ClassVar[str] = "seq2seq"

    padding: int = 0
    smoothing: float = 0.1

    def __call__(self, model: nn.Module, source_BS: Tensor, answer_BT: Tensor) -> Tensor:
        """Loss a token, in nats."""
        read_BT, asked_BT = answer_BT[:, :-1].clamp(min=0), answer_BT[:, 1:]
        logits_BTV = model(source_BS.clamp(min=0), read_BT, source_mask_BS=source_BS != self.padding)
        return self.loss(logits_BTV, asked_BT) / self.n_targets(source_BS, answer_BT)

    def n_targets(self, source_BS: Tensor, answer_BT: Tensor) -> int:
        """How many tokens the loss is the mean of."""
        return int((answer_BT[:, 1:] != self.padding).sum())

    def loss(self, logits_BTV: Tensor, target_BT: Tensor) -> Tensor:
        """Divergence of the predictions from the smoothed targets, summed over all tokens, in nats.

        `torch.nn.functional.kl_div` of `smoothed` targets, without the table [tokens, V] that it would hold:
        most of its entries are one number, so their sum is that times the sum of what was said.
        """
        said_BTV = torch.log_softmax(logits_BTV.float(), dim=-1)
        doubt, n_doubted = _doubt(self.smoothing, logits_BTV.shape[-1], self.padding)
        certainty = 1.0 - self.smoothing
        right_BT = said_BTV.gather(-1, target_BT.clamp(min=0)[..., None]).squeeze(-1)
        wanted_BT = certainty * right_BT
        if doubt:
            others_BT = said_BTV.sum(-1) - right_BT
            if self.padding >= 0:
                others_BT = others_BT - said_BTV[..., self.padding]
            wanted_BT = wanted_BT + doubt * others_BT
        entropy = -certainty * math.log(certainty) - (n_doubted * doubt * math.log(doubt) if doubt else 0.0)
        return (-entropy - wanted_BT)[target_BT != self.padding].sum()


def smoothed(target_N: Tensor, n_vocab: int, smoothing: float, padding: int) -> Tensor:
    """What is wanted of each prediction: probabilities [N, V], a row of zeros where the target is padding."""
    doubt, _ = _doubt(smoothing, n_vocab, padding)
    wanted_NV = torch.full((len(target_N), n_vocab), doubt, device=target_N.device)
    wanted_NV.scatter_(1, target_N.clamp(min=0)[:, None], 1.0 - smoothing)
    if padding >= 0:
        wanted_NV[:, padding] = 0.0
    return wanted_NV.masked_fill(target_N[:, None] == padding, 0.0)


def _doubt(smoothing: float, n_vocab: int, padding: int) -> tuple[float, int]:
    """What each token gets that is neither right nor padding, and how many those are."""
    if not 0 <= smoothing < 1 or n_vocab < 3:
        raise BadInput(
            f"smoothing is {smoothing} over {n_vocab} tokens; expected 0 to below 1, and at least 3 tokens"
        )
    n_doubted = n_vocab - (1 if padding < 0 else 2)
    return smoothing / n_doubted, n_doubted
