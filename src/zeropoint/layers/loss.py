"""Softmax and cross-entropy, written out.

    softmax(z)_i = exp(z_i) / sum_j exp(z_j)
    cross-entropy = -log softmax(z)_target = log sum_j exp(z_j) - z_target

Both subtract the largest logit first, which changes nothing in exact arithmetic and keeps exp from
overflowing. A model that assigns equal probability to V tokens has a cross-entropy of log V nats. Training
calls torch's fused versions, which compute the same numbers; a test compares them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.errors import BadInput

__all__ = ["cross_entropy", "log_softmax", "perplexity", "softmax"]


def softmax(logits: Tensor, dim: int = -1) -> Tensor:
    """Positive numbers that sum to 1 along `dim`, in the same shape. A logit of -inf gives exactly 0."""
    exponentials = torch.exp(logits - logits.amax(dim, keepdim=True))
    return exponentials / exponentials.sum(dim, keepdim=True)


def log_softmax(logits: Tensor, dim: int = -1) -> Tensor:
    """log(softmax(logits)) without the underflow of taking the logarithm of a tiny probability."""
    shifted = logits - logits.amax(dim, keepdim=True)
    return shifted - torch.exp(shifted).sum(dim, keepdim=True).log()


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """Mean negative log-probability of the targets, in nats per token: a scalar.

    logits: [..., V]. targets: token ids of shape [...]; those equal to ignore_index do not count, and if none
    is left the loss is 0. Raises BadInput if the shapes differ.
    """
    if logits.shape[:-1] != targets.shape:
        raise BadInput(
            f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)} do not match; targets need the "
            "shape of logits without its last axis"
        )
    is_target = targets != ignore_index
    index = torch.where(is_target, targets, 0)[..., None]
    target_logprobs = log_softmax(logits.float()).gather(-1, index).squeeze(-1)
    return -(target_logprobs * is_target).sum() / is_target.sum().clamp(min=1)


def perplexity(loss: Tensor) -> Tensor:
    """exp(cross-entropy): of how many equally likely tokens the model seems to choose."""
    return torch.exp(loss)
