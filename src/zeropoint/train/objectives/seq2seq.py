"""Sequence-to-sequence training with label smoothing: cross-entropy against softened targets.

Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7; Vaswani et al., 2017, section 5.4.
As in "The Annotated Transformer", the loss is the Kullback-Leibler divergence from the smoothed targets,
whose probability mass is spread over all tokens except the correct one and padding; padding positions are
ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import Batches
from zeropoint.data.pairs import Pair, PairBatches
from zeropoint.errors import BadInput
from zeropoint.options import MAX_INT, option
from zeropoint.train.objectives import Objective

__all__ = ["Seq2SeqLoss", "smoothed_targets"]


@dataclass(frozen=True)
class Seq2SeqLoss(Objective):
    """Translate with teacher forcing: the decoder reads the target and predicts it shifted by one token."""

    data: ClassVar[Literal["text", "pairs"]] = "pairs"

    padding_id: int = option(
        0,
        -1,
        MAX_INT,
        "Id that pads sequences to one length and is ignored; -1 if no token of the vocabulary is reserved "
        "for it.",
    )
    label_smoothing: float = option(
        0.1, 0, 1, "Probability given to tokens other than the correct one.", is_open_above=True
    )

    def __call__(self, model: nn.Module, source_BS: Tensor, target_BT: Tensor) -> Tensor:
        """Mean divergence per target token, in nats."""
        input_BT, next_BT = target_BT[:, :-1].clamp(min=0), target_BT[:, 1:]
        logits_BTV = model(source_BS.clamp(min=0), input_BT, source_mask_BS=source_BS != self.padding_id)
        return self.loss(logits_BTV, next_BT) / self.n_targets(source_BS, target_BT)

    def n_targets(self, source_BS: Tensor, target_BT: Tensor) -> int:
        """The number of target tokens, padding excluded."""
        return int((target_BT[:, 1:] != self.padding_id).sum())

    def loss(self, logits_BTV: Tensor, next_BT: Tensor) -> Tensor:
        """Kullback-Leibler divergence from the smoothed targets, summed over tokens, in nats.

        Equals `torch.nn.functional.kl_div` with `smoothed_targets`, without building that [tokens, V] table:
        all entries but two per row are equal, so their sum is that value times the sum of log-probabilities.
        """
        log_prob_BTV = torch.log_softmax(logits_BTV.float(), dim=-1)
        rest, n_rest = _smoothing_mass(self.label_smoothing, logits_BTV.shape[-1], self.padding_id)
        confidence = 1.0 - self.label_smoothing
        correct_BT = log_prob_BTV.gather(-1, next_BT.clamp(min=0)[..., None]).squeeze(-1)
        expected_BT = confidence * correct_BT
        if rest:
            others_BT = log_prob_BTV.sum(-1) - correct_BT
            if self.padding_id >= 0:
                others_BT = others_BT - log_prob_BTV[..., self.padding_id]
            expected_BT = expected_BT + rest * others_BT
        entropy = -confidence * math.log(confidence) - (n_rest * rest * math.log(rest) if rest else 0.0)
        return (-entropy - expected_BT)[next_BT != self.padding_id].sum()

    def check_blueprint(self, blueprint: Blueprint) -> None:
        """Raise BadInput for a model without an encoder."""
        if not blueprint.encoder:
            raise BadInput(
                "the model has no encoder, and seq2seq encodes a source sentence; give a model.blueprint "
                "with one"
            )

    def pair_batches(self, pairs: Sequence[Pair], n_rows: int, seed: int) -> Batches:
        """Padded batches of pairs: (source [B, S], target [B, T])."""
        return PairBatches(pairs, n_rows, seed, self.padding_id)


def smoothed_targets(target_N: Tensor, n_vocab: int, label_smoothing: float, padding_id: int) -> Tensor:
    """Target distributions [N, V]; the row is zero where the target is padding."""
    rest, _ = _smoothing_mass(label_smoothing, n_vocab, padding_id)
    prob_NV = torch.full((len(target_N), n_vocab), rest, device=target_N.device)
    prob_NV.scatter_(1, target_N.clamp(min=0)[:, None], 1.0 - label_smoothing)
    if padding_id >= 0:
        prob_NV[:, padding_id] = 0.0
    return prob_NV.masked_fill(target_N[:, None] == padding_id, 0.0)


def _smoothing_mass(label_smoothing: float, n_vocab: int, padding_id: int) -> tuple[float, int]:
    """(probability of each token that is neither correct nor padding, the number of such tokens)."""
    if not 0 <= label_smoothing < 1 or n_vocab < 3:
        raise BadInput(
            f"label_smoothing is {label_smoothing} over a vocabulary of {n_vocab} tokens; expected a value "
            "of at least 0 and below 1, and at least 3 tokens"
        )
    n_rest = n_vocab - (1 if padding_id < 0 else 2)
    return label_smoothing / n_rest, n_rest
