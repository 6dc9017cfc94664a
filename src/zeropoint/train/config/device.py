"""Select the device that a run computes on: the CPU, or a GPU that torch sees."""

from __future__ import annotations

import os
from typing import Literal

import torch

from zeropoint.errors import BadInput

__all__ = ["Device", "device_name", "select_device"]

Device = Literal["cpu", "cuda", "auto"]


def select_device(device: Device) -> torch.device:
    """The torch device; "auto" is a GPU if there is one. Raises BadInput for "cuda" without a GPU."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        is_built = torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]
        reason = "torch sees no GPU" if is_built else "this torch is built for the CPU only"
        raise BadInput(f'train.device is "cuda", but {reason}; set train.device to "cpu" or "auto"')
    if not has_gpu or device == "cpu":
        return torch.device("cpu")
    # cuBLAS is deterministic only with a fixed workspace, and reads this variable before its first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device("cuda")


def device_name(device: torch.device) -> str:
    """The model name of a GPU, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
