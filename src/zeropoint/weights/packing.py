"""Pack tensors for writing, a few rows at a time, so that at most one tensor is in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from zeropoint import formats
from zeropoint.errors import BadInput, OutOfMemory
from zeropoint.frozen import frozen
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.mapping import LazyTensor

__all__ = ["PackedTensor", "copy_tensor", "has_whole_blocks", "pack", "packed_bytes"]

Bytes = npt.NDArray[np.uint8]
_CHUNK_WEIGHTS = 1 << 20  # weights packed at a time; numpy needs about ten bytes for each
_MAX_F16 = 65504.0


@frozen
class PackedTensor:
    """A tensor ready to be written. format: GGUF's name; chunks: its bytes in order, n_bytes in total.

    source: the weights that are packed; None for a tensor copied byte for byte.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    n_bytes: int
    chunks: Callable[[], Iterator[Bytes]]
    source: LazyTensor | None = None

    @property
    def is_lossless(self) -> bool:
        """Whether packing preserves every weight of the source."""
        return self.source is None or self.format in ("F32", self.source.format)


def pack(name: str, tensor: LazyTensor, form: str) -> PackedTensor:
    """Pack `tensor` in the format `form`; reading and packing happen when it is written.

    Raises BadInput (during writing) for weights that the format cannot represent: NaN or infinity in a block
    format, magnitudes above 65504 in F16.
    """
    n_bytes = packed_bytes(tensor.shape, form)
    return PackedTensor(name, tensor.shape, form, n_bytes, lambda: _chunks(name, tensor, form), tensor)


def copy_tensor(model: GgufModel, name: str) -> PackedTensor:
    """Copy a tensor of a GGUF file byte for byte."""
    info = model.tensors[name]

    def chunks() -> Iterator[Bytes]:
        yield model.read(name).reshape(-1)

    return PackedTensor(name, info.shape, info.format, info.n_bytes, chunks)


def has_whole_blocks(shape: tuple[int, ...], form: str) -> bool:
    """Whether rows of this shape divide into blocks of the format without remainder."""
    return bool(shape) and shape[-1] % formats.get(form).BLOCK_WEIGHTS == 0


def packed_bytes(shape: tuple[int, ...], form: str) -> int:
    """Size of a tensor of this shape in the format, in bytes."""
    block = formats.get(form)
    return math.prod(shape) // block.BLOCK_WEIGHTS * block.BLOCK_BYTES


def _chunks(name: str, tensor: LazyTensor, form: str) -> Iterator[Bytes]:
    packer = formats.get(form).pack
    try:
        weights = tensor.read()
        n_columns = tensor.shape[-1] if tensor.shape else 1
        rows = weights.reshape(-1, n_columns)
        step = max(1, _CHUNK_WEIGHTS // n_columns)
        for start in range(0, len(rows), step):
            part = np.ascontiguousarray(rows[start : start + step])
            if form == "F16":
                _check_f16(name, part)
            yield packer(part).reshape(-1)
    except MemoryError:
        raise OutOfMemory(f"not enough memory for the weights of `{name}` as float32") from None
    except BadInput as error:
        raise BadInput(f"tensor `{name}`: {error}") from None


def _check_f16(name: str, weights: npt.NDArray[np.float32]) -> None:
    size = np.abs(weights)
    if ((size > _MAX_F16) & np.isfinite(size)).any():
        raise BadInput(f"weights exceed {_MAX_F16:.0f}, the largest F16 value; use BF16 or F32")
