"""Deterministic training: computing a step again gives the same result, bit for bit.

By default torch may add partial sums in the order in which threads finish: in the gradient of an embedding
(on a GPU, or compiled for several threads) and in fused attention. It may also choose kernels by timing them.
torch offers a deterministic alternative for each, which is slightly slower.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.utils.deterministic

__all__ = ["deterministic"]


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Inside, torch uses deterministic algorithms only; operations without one raise RuntimeError."""
    settings: Any = torch.utils.deterministic
    was_enabled = torch.are_deterministic_algorithms_enabled()
    was_warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    was_filling = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    settings.fill_uninitialized_memory = False  # this code never reads memory before writing it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_enabled, warn_only=was_warn_only)
        settings.fill_uninitialized_memory = was_filling
