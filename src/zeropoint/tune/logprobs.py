"""Log-probabilities of answers, which every objective of preferences compares."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.data.batches import IGNORED

__all__ = ["answer_logprobs", "pair_logprobs"]


def answer_logprobs(model: nn.Module, ids_BT: Tensor, target_BT: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of log-probabilities of the targets [B], number of targets [B]); -100 is no target.

    Rows are padded on the right, which a causal model cannot see from the tokens before.
    """
    logits_BTV = model(ids_BT).float()
    loss_BT = F.cross_entropy(logits_BTV.transpose(1, 2), target_BT, ignore_index=IGNORED, reduction="none")
    return -loss_BT.sum(1), (target_BT != IGNORED).sum(1).clamp(min=1)


def pair_logprobs(model: nn.Module, ids_B2T: Tensor, target_B2T: Tensor) -> tuple[Tensor, Tensor]:
    """The same for (chosen, rejected) answers in one pass: [B, 2] each."""
    sum_N, count_N = answer_logprobs(model, ids_B2T.flatten(0, 1), target_B2T.flatten(0, 1))
    return sum_N.view(-1, 2), count_N.view(-1, 2)
