"""PyTorch checkpoints (`pytorch_model.bin`), read only with --allow-pickle and by torch's restricted loader.

`weights_only=True` has been exploitable twice (CVE-2025-32434, fixed in 2.6; CVE-2026-24747, fixed in 2.10).
Older versions of torch are therefore rejected, and the loader that runs code is never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.errors import BadModelFile, MachineError, not_installed
from zeropoint.files.paths import display_path
from zeropoint.weights.json_file import open_regular
from zeropoint.weights.safetensors.reader import path_in_folder
from zeropoint.weights.stored_tensors import TensorInfo

__all__ = ["PickledModel", "open_pickle"]

_MIN_TORCH = (2, 10)
_FORMATS = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}
_STATE_KEYS = ("state_dict", "model_state_dict", "model", "module")  # of checkpoints with more than weights


@dataclass(frozen=True, eq=False)
class PickledModel:
    """The tensors of a checkpoint, memory-mapped by torch; `array` converts one to float32."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    state: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name for messages."""
        return display_path(self.path)

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, uint8 [..., bytes per row]."""
        import torch

        packed: npt.NDArray[np.uint8] = self.state[name].detach().contiguous().view(torch.uint8).numpy()
        return packed

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """The weights of a tensor, float32 in its shape."""
        if name not in self.tensors:
            raise BadModelFile(f"{self.name}: tensor {name!a:.80} is missing; the checkpoint is incomplete")
        weights: npt.NDArray[np.float32] = self.state[name].detach().float().contiguous().numpy()
        return weights

    def rows(self, name: str, begin: int, end: int) -> npt.NDArray[np.float32]:
        """The weights of rows [begin, end) along the first axis, float32."""
        weights: npt.NDArray[np.float32] = self.state[name].detach()[begin:end].float().contiguous().numpy()
        return weights


def open_pickle(folder: Path, names: list[str]) -> PickledModel:
    """Open all files in `names`. Raises BadModelFile, and MachineError without a safe version of torch."""
    torch = _torch()
    state: dict[str, Any] = {}
    for name in names:
        path = path_in_folder(folder, name)
        open_regular(path).close()  # torch would wait for a FIFO
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # torch.load raises many types, some undocumented
            raise BadModelFile(
                f"{display_path(path)} was rejected by torch's safe loader: {str(error)[:200]!a}"
            ) from None
        state |= _state(loaded, display_path(path), torch.Tensor)
    tensors = {key: _info(key, tensor, folder) for key, tensor in state.items()}
    return PickledModel(folder, tensors, state)


def _state(loaded: Any, name: str, tensor_type: type[Any]) -> dict[str, Any]:
    """The dictionary of tensors that a checkpoint is, or has next to its optimizer's state."""
    found = loaded
    if isinstance(loaded, dict):
        found = next((loaded[key] for key in _STATE_KEYS if isinstance(loaded.get(key), dict)), loaded)
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(tensor, tensor_type) for key, tensor in found.items()
    ):
        raise BadModelFile(
            f"{name} must contain a dictionary of tensors, alone or under one of {', '.join(_STATE_KEYS)}"
        )
    return found


def _info(key: str, tensor: Any, folder: Path) -> TensorInfo:
    form = _FORMATS.get(str(tensor.dtype), str(tensor.dtype))
    return TensorInfo(key, form, tuple(tensor.shape), 0, tensor.numel() * tensor.element_size(), folder)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MachineError(not_installed("reading a pickled checkpoint", "torch")) from None
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < _MIN_TORCH:
        raise MachineError(
            f"torch {torch.__version__} is vulnerable to malicious checkpoints; install torch 2.10 or newer"
        )
    return torch
