"""Which numbers this machine multiplies fastest."""

from __future__ import annotations

import time

import torch

__all__ = ["quickest_dtype"]


def quickest_dtype(is_cpu: bool = True) -> torch.dtype:
    """bfloat16 where a product of matrices takes it at most two thirds of float32's time, else float32.

    Measured on the spot: only some processors multiply bfloat16 at all, and others imitate it slowly.
    """
    if not is_cpu:
        return torch.bfloat16
    seconds = {dtype: _seconds(dtype) for dtype in (torch.float32, torch.bfloat16)}
    return torch.bfloat16 if seconds[torch.bfloat16] < seconds[torch.float32] * 2 / 3 else torch.float32


def _seconds(dtype: torch.dtype) -> float:
    """The best of a few products, in seconds; the first ones are slow for reasons of their own."""
    a, b = torch.ones(256, 512, dtype=dtype), torch.ones(512, 1024, dtype=dtype)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return best
