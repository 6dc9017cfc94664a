"""Where a run computes: the processor, or a GPU that torch sees."""

from __future__ import annotations

import os
from typing import Literal

import torch

from zeropoint.errors import BadInput

__all__ = ["Device", "device_of", "name_of"]

Device = Literal["cpu", "cuda", "auto"]


def device_of(asked: Device) -> torch.device:
    """What is asked for; for "auto" a GPU if there is one. Raises BadInput for a GPU that is not there."""
    has_gpu = torch.cuda.is_available()
    if asked == "cuda" and not has_gpu:
        is_built = torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]
        lacks = "sees none here" if is_built else "is built for the CPU alone"
        raise BadInput(f'the device "cuda" is a GPU, and torch {lacks}; give "cpu" or "auto"')
    if not has_gpu or asked == "cpu":
        return torch.device("cpu")
    # cuBLAS, which reads this before its first product, adds in one order with a workspace of its own only.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda")


def name_of(device: torch.device) -> str:
    """A GPU's own name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
