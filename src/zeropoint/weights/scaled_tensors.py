"""FP8 weights and their scales: each weight is its code times the scale of its tensor, row or block.

Published models name the scale `weight_scale_inv` (DeepSeek, Qwen: one for each block of 128 x 128) or
`weight_scale` (compressed-tensors: one for each tensor or row). Both multiply, despite the first name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint.errors import BadModelFile
from zeropoint.weights.read_only_formats import FP8
from zeropoint.weights.stored_tensors import StoredTensors, format_names

__all__ = ["ScaledTensors", "has_scales"]

Array = npt.NDArray[np.float32]
_SCALES = ("_scale_inv", "_scale")  # after the name of the weight
# Of activations and caches, which are not FP8 here.
_OTHER_SCALES = (".input_scale", ".activation_scale", ".output_scale", ".k_scale", ".v_scale", ".kv_scale")
_BLOCK = (128, 128)  # where config.json does not say


def has_scales(stored: StoredTensors) -> bool:
    """Whether the file has FP8 weights with scales."""
    return any(_scale_name(stored, name) for name in stored.tensors)


class ScaledTensors:
    """An opened file whose FP8 weights are read with their scales applied; the scales are not listed.

    quantization: `quantization_config` of config.json, which gives the size of a block. left_out: the scales
    of activations and of the KV cache. Raises BadModelFile for a scale whose shape does not fit its weight.
    """

    def __init__(self, stored: StoredTensors, quantization: object) -> None:
        self._stored = stored
        self._block = _block_size(quantization)
        self._scale_of = {
            name: scale for name in stored.tensors if (scale := _scale_name(stored, name)) is not None
        }
        self.name = stored.name
        self.left_out = tuple(name for name in stored.tensors if name.endswith(_OTHER_SCALES))
        hidden = {*self._scale_of.values(), *self.left_out}
        self.tensors: Mapping[str, Any] = {
            name: info for name, info in stored.tensors.items() if name not in hidden
        }
        for name, scale in self._scale_of.items():
            self._units(name, scale)

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, without scales: uint8 [..., bytes per row]."""
        return self._stored.read(name)

    def array(self, name: str) -> Array:
        """The weights of a tensor, float32 in its shape."""
        weights = self._stored.array(name)
        return self._scaled(name, weights, 0, len(weights)) if name in self._scale_of else weights

    def rows(self, name: str, begin: int, end: int) -> Array:
        """The weights of rows [begin, end) along the first axis, float32."""
        weights = self._stored.rows(name, begin, end)
        return self._scaled(name, weights, begin, end) if name in self._scale_of else weights

    def _scaled(self, name: str, weights: Array, begin: int, end: int) -> Array:
        scale = self._scale_of[name]
        n_rows, n_columns = self._units(name, scale)
        scales = self._stored.array(scale).reshape(-1, -(-weights.shape[1] // n_columns))
        used = scales[np.arange(begin, end) // n_rows]
        weights *= np.repeat(used, n_columns, axis=1)[:, : weights.shape[1]]
        return weights

    def _units(self, name: str, scale: str) -> tuple[int, int]:
        """Rows and columns of the weight that share one scale."""
        shape, scales = tuple(self._stored.tensors[name].shape), tuple(self._stored.tensors[scale].shape)
        if len(shape) == 2 and 0 not in shape:
            for n_rows, n_columns in (shape, (1, shape[1]), self._block):
                counts = (-(-shape[0] // n_rows), -(-shape[1] // n_columns))
                shorter = [counts[:1]] * (counts[1] == 1) + [()] * (counts == (1, 1))
                if scales in (counts, *shorter):
                    return n_rows, n_columns
        raise BadModelFile(
            f"{self.name}: tensor {format_names([scale])} has the shape {list(scales)}, which does not "
            f"divide {format_names([name])} of shape {list(shape)} into blocks; fetch the file again"
        )


def _scale_name(stored: StoredTensors, name: str) -> str | None:
    if stored.tensors[name].format not in FP8:
        return None
    return next((name + end for end in _SCALES if name + end in stored.tensors), None)


def _block_size(quantization: object) -> tuple[int, int]:
    size = quantization.get("weight_block_size") if isinstance(quantization, dict) else None
    if isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size):
        return size[0], size[1]
    return _BLOCK
