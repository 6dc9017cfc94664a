"""Which numbers this machine multiplies fastest."""

from __future__ import annotations

import time

import torch

__all__ = ["fastest_dtype", "has_bfloat16"]


def has_bfloat16(is_cpu: bool = True) -> bool:
    """Whether this is known to multiply bfloat16: a processor with AVX-512 BF16 or AMX for it, a GPU since
    Ampere. Torch takes it on older ones too, and there imitates it."""
    if not is_cpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fastest_dtype(is_cpu: bool = True) -> torch.dtype:
    """bfloat16 where a product of matrices takes it at most two thirds of float32's time, else float32.

    Where it is not known of a processor it is measured on the spot: some imitate bfloat16, slowly. What is
    known is not measured, so that a run that is resumed on a busy machine multiplies as it did before.
    """
    if has_bfloat16(is_cpu):
        return torch.bfloat16
    if not is_cpu:
        return torch.float32
    seconds = _seconds((torch.float32, torch.bfloat16))
    return torch.bfloat16 if seconds[torch.bfloat16] < seconds[torch.float32] * 2 / 3 else torch.float32


def _seconds(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Each one's best of some products, in seconds: the first are slow for reasons of their own.

    They take turns, and on one thread, which waits for no other: a busy machine must not choose.
    """
    pairs = {
        dtype: (torch.ones(128, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)) for dtype in dtypes
    }
    best = dict.fromkeys(dtypes, float("inf"))
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(20):
        for dtype, (a, b) in pairs.items():
            start = time.perf_counter()
            a @ b
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    torch.set_num_threads(n_threads)
    return best
