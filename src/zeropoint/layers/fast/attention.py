"""When writing attention out beats torch's fused kernel on a CPU."""

from __future__ import annotations

from torch import Tensor

__all__ = ["is_sdpa_slow"]

# Up to this many keys, the [T, S] table of weights fits the processor's cache, and the backward pass of the
# fused kernel costs more because it multiplies many small matrices. Forward and backward pass in bfloat16 on
# two cores of an AMD EPYC (Zen 4), torch 2.13, naive against fused: 2.1 and 24 ms for q of [80, 8, 10, 64],
# 8 and 25 ms for [16, 6, 128, 64], but 271 and 199 ms for [64, 6, 256, 64].
_MAX_KEYS = 128


def is_sdpa_slow(q_BHTK: Tensor, k_BHSK: Tensor, dropout: float) -> bool:
    """True on a CPU when training with few keys, or with dropout, for which the kernel builds a table."""
    trains_on_few_keys = q_BHTK.requires_grad and k_BHSK.shape[2] <= _MAX_KEYS
    return q_BHTK.device.type == "cpu" and (trains_on_few_keys or dropout > 0)
