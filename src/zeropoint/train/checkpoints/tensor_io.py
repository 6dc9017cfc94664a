"""Read and write the files of a checkpoint: float32 tensors by name, and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.safetensors.reader import open_safetensors
from zeropoint.weights.safetensors.writer import write_safetensors

__all__ = ["read_tensors", "total_bytes", "write_json", "write_tensors"]


def total_bytes(tensors: Mapping[str, Tensor]) -> int:
    """The size of all tensors, in bytes."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write float32 tensors and flush them to disk. Raises DiskError."""
    write_safetensors(path, [_packed(name, tensor) for name, tensor in tensors.items()])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read float32 tensors by name. Raises BadModelFile, DiskError."""
    model = open_safetensors(path)
    return {name: torch.from_numpy(model.array(name).copy()) for name in model.tensors}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object and flush it to disk. Raises DiskError."""
    with write_file(path) as file:
        file.write(json.dumps(content, indent=2).encode())


def _packed(name: str, tensor: Tensor) -> PackedTensor:
    if tensor.dtype is not torch.float32:
        raise BadInput(f"{name} is {tensor.dtype}; a checkpoint stores float32 only")

    def chunks() -> Iterator[NDArray[np.uint8]]:
        yield np.ascontiguousarray(tensor.detach().cpu().numpy()).reshape(-1).view(np.uint8)

    return PackedTensor(name, tuple(tensor.shape), "F32", tensor.numel() * 4, chunks)
