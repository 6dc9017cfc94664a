"""What a run will take: time from three measured micro-batches, memory from the sizes of what is stored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.ffn import MLP, Gated

__all__ = ["Estimate", "memory_bytes", "seconds_per_part"]

_BASE_BYTES = 400e6  # the interpreter, torch and its buffers
_TRAINED_BYTES = 12  # gradient and two moments of AdamW, per trained weight


@dataclass(frozen=True)
class Estimate:
    """Of a whole run. n_trained: trained weights, of n_weights."""

    seconds: float
    memory_bytes: float
    n_steps: int
    n_trained: int
    n_weights: int


def memory_bytes(model: nn.Module, blueprint: Blueprint, n_tokens: int) -> float:
    """Peak memory of training on micro-batches of n_tokens, in bytes.

    Stored for the backward pass are, in each block, the inputs of its products and nonlinearities, about 14
    vectors of the model's width and 5 of the hidden width per token; and of the head, three tables of logits.
    """
    n_weights = sum(p.numel() for p in model.parameters())
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    hidden = sum(b.ffn.d_ff for b in blueprint.blocks if isinstance(b.ffn, Gated | MLP))
    floats = 14 * blueprint.d_model * blueprint.n_layers + 5 * hidden + 3 * blueprint.n_vocab
    return _BASE_BYTES + 4 * n_weights + _TRAINED_BYTES * n_trained + 4 * floats * n_tokens


def seconds_per_part(model: nn.Module, loss: Callable[[], Tensor]) -> float:
    """Seconds of one forward and backward pass: the fastest of three, since the first allocates memory and
    another program may run during one.

    loss: computes the loss of one micro-batch. Gradients are discarded.
    """
    seconds = math.inf
    for _ in range(3):
        started_s = time.perf_counter()
        loss().backward()  # type: ignore[no-untyped-call]
        seconds = min(seconds, time.perf_counter() - started_s)
        model.zero_grad(set_to_none=True)
    return seconds
