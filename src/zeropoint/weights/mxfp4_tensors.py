"""MXFP4 experts of gpt-oss in a Hugging Face folder: `X_blocks` and `X_scales` are read as the tensor X.

For each expert and output row, blocks hold 32 weights in 16 bytes, [E, out, groups, 16], with weights 2i and
2i + 1 in the low and high half of byte i; scales hold a power of two per block, [E, out, groups]. X is
[E, in, out], as checkpoints without MXFP4 store it. The numbers are those of `formats/mxfp4.py`, which keeps
weights i and i + 16 in one byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zeropoint import formats
from zeropoint.errors import BadModelFile, OutOfMemory
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.stored_tensors import StoredTensors, format_names

__all__ = [
    "QUANTIZATION",
    "Mxfp4Tensors",
    "has_mxfp4",
    "is_part_of_pair",
    "pack_pair",
    "to_block_bytes",
    "to_blocks_and_scales",
]

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
_BLOCKS, _SCALES = "_blocks", "_scales"
_BLOCK_BYTES = 16
QUANTIZATION = {
    "quant_method": "mxfp4",
    "modules_to_not_convert": [
        *("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head")
    ],
}
"""`quantization_config` of a folder with such pairs."""


@dataclass(frozen=True)
class _Info:
    """What `StoredTensors.tensors` says about a tensor."""

    name: str
    shape: tuple[int, ...]
    format: str = "MXFP4"


def has_mxfp4(stored: StoredTensors) -> bool:
    """Whether the file has tensors in blocks and scales."""
    return any(name.endswith(_BLOCKS) for name in stored.tensors)


class Mxfp4Tensors:
    """An opened file whose pairs of blocks and scales are listed and read as one tensor each.

    Raises BadModelFile for blocks without scales, and for shapes and formats that do not fit.
    """

    def __init__(self, stored: StoredTensors) -> None:
        self._stored = stored
        self.name = stored.name
        pairs = {name.removesuffix(_BLOCKS) for name in stored.tensors if name.endswith(_BLOCKS)}
        hidden = {stem + end for stem in pairs for end in (_BLOCKS, _SCALES)}
        self._pairs = {stem: _Info(stem, self._shape(stem)) for stem in sorted(pairs)}
        plain = {name: info for name, info in stored.tensors.items() if name not in hidden}
        self.tensors: Mapping[str, Any] = {**plain, **self._pairs}

    def read(self, name: str) -> Bytes:
        """The bytes of a tensor other than a pair, uint8 [..., bytes per row]."""
        return self._stored.read(name)

    def array(self, name: str) -> Array:
        """The weights of a tensor, float32 in its shape."""
        if name not in self._pairs:
            return self._stored.array(name)
        return self.rows(name, 0, self._pairs[name].shape[0])

    def rows(self, name: str, begin: int, end: int) -> Array:
        """The weights of experts [begin, end), or rows of another tensor, float32."""
        if name not in self._pairs:
            return self._stored.rows(name, begin, end)
        _, n_in, n_out = self._pairs[name].shape
        blocks, scales = self._stored.read(name + _BLOCKS), self._stored.read(name + _SCALES)
        unpack = formats.get("MXFP4").unpack
        try:
            weights = np.empty((end - begin, n_in, n_out), np.float32)
            for i, expert in enumerate(range(begin, end)):
                weights[i] = unpack(to_block_bytes(blocks[expert], scales[expert])).T
        except MemoryError:
            raise OutOfMemory(f"not enough memory for the weights of `{name}` as float32") from None
        return weights

    def _shape(self, stem: str) -> tuple[int, int, int]:
        blocks = self._stored.tensors[stem + _BLOCKS]
        scales = self._stored.tensors.get(stem + _SCALES)
        if scales is None:
            raise BadModelFile(f"{self.name} lacks {format_names([stem + _SCALES])}; fetch the file again")
        shape = tuple(blocks.shape)
        if {blocks.format, scales.format} != {"U8"} or len(shape) != 4 or shape[3] != _BLOCK_BYTES:
            raise BadModelFile(
                f"{self.name}: tensor {format_names([stem + _BLOCKS])} is {blocks.format} of shape "
                f"{list(shape)}; MXFP4 needs U8 of shape [experts, rows, groups, {_BLOCK_BYTES}]"
            )
        if tuple(scales.shape) != shape[:3]:
            raise BadModelFile(
                f"{self.name}: tensor {format_names([stem + _SCALES])} has the shape {list(scales.shape)}; "
                f"it needs {list(shape[:3])}, one scale for each block"
            )
        n_experts, n_out, n_groups, _ = shape
        return n_experts, n_groups * 2 * _BLOCK_BYTES, n_out


def pack_pair(name: str, tensor: LazyTensor) -> list[PackedTensor]:
    """Blocks and scales of a tensor [E, in, out] whose weights MXFP4 represents exactly."""
    n_experts, n_in, n_out = tensor.shape
    n_groups = n_in // (2 * _BLOCK_BYTES)

    def chunks(part: int) -> Callable[[], Iterator[Bytes]]:
        def pack() -> Iterator[Bytes]:
            form = formats.get("MXFP4")
            for weights in tensor.read():
                packed = form.pack(np.ascontiguousarray(weights.T))
                if not np.array_equal(form.unpack(packed), weights.T):
                    raise BadModelFile(f"the weights of `{name}` are not exactly MXFP4; use --to BF16")
                yield np.ascontiguousarray(to_blocks_and_scales(packed)[part]).reshape(-1)

        return pack

    n_scales = n_experts * n_out * n_groups
    shape = (n_experts, n_out, n_groups)
    return [
        PackedTensor(name + _BLOCKS, (*shape, _BLOCK_BYTES), "U8", n_scales * _BLOCK_BYTES, chunks(0)),
        PackedTensor(name + _SCALES, shape, "U8", n_scales, chunks(1)),
    ]


def is_part_of_pair(tensor: PackedTensor) -> bool:
    """Whether a tensor to write is blocks or scales."""
    return tensor.format == "U8"


def to_block_bytes(blocks: Bytes, scales: Bytes) -> Bytes:
    """The bytes of GGUF's MXFP4: [..., groups, 16] and [..., groups] -> [..., 17 * groups]."""
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], 2 * _BLOCK_BYTES)
    halves = codes[..., :_BLOCK_BYTES] | codes[..., _BLOCK_BYTES:] << np.uint8(4)
    return np.concatenate([scales[..., None], halves], axis=-1).reshape(*blocks.shape[:-2], -1)


def to_blocks_and_scales(packed: Bytes) -> tuple[Bytes, Bytes]:
    """The inverse of `to_block_bytes`: [..., 17 * groups] -> [..., groups, 16] and [..., groups]."""
    rows = packed.reshape(*packed.shape[:-1], -1, _BLOCK_BYTES + 1)
    halves = rows[..., 1:]
    codes = np.concatenate([halves & 15, halves >> 4], axis=-1)
    return codes[..., 0::2] | codes[..., 1::2] << np.uint8(4), rows[..., 0]
