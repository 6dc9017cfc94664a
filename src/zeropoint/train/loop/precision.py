"""Choose the precision of matrix products: the type that this machine multiplies fastest."""

from __future__ import annotations

import time

import torch

__all__ = ["fastest_dtype", "has_bfloat16"]


def has_bfloat16(is_cpu: bool = True) -> bool:
    """Whether the hardware multiplies bfloat16: a CPU with AVX-512 BF16 or AMX, or a GPU since Ampere.

    torch accepts bfloat16 on older hardware too, but emulates it there.
    """
    if not is_cpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fastest_dtype(is_cpu: bool = True) -> torch.dtype:
    """bfloat16 if a matrix product takes at most two thirds of float32's time with it, else float32.

    Only a CPU without known bfloat16 support is measured, because some emulate it slowly. Known hardware is
    not measured, so that a run resumed on a busy machine computes as before.
    """
    if has_bfloat16(is_cpu):
        return torch.bfloat16
    if not is_cpu:
        return torch.float32
    seconds = _measure((torch.float32, torch.bfloat16))
    return torch.bfloat16 if seconds[torch.bfloat16] < seconds[torch.float32] * 2 / 3 else torch.float32


def _measure(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """The best time of 20 matrix products of each type, in seconds.

    The types alternate, on one thread, so that load from other programs affects both equally.
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
