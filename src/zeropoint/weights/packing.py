"""Tensors on their way into a file: packed a few rows at a time, so that memory stays at one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from zeropoint import formats
from zeropoint.errors import BadInput, OutOfMemory
from zeropoint.frozen import frozen
from zeropoint.weights.gguf.reader import GgufModel
from zeropoint.weights.mapping import Lazy

__all__ = ["Packed", "bytes_of", "copied", "fits", "pack"]

Bytes = npt.NDArray[np.uint8]
_CHUNK_WEIGHTS = 1 << 20  # packed at once; numpy needs some ten times as many bytes for it
_LARGEST_F16 = 65504.0


@frozen
class Packed:
    """A tensor to write. format: GGUF's name; chunks: its bytes in order, n_bytes in all.

    source: the weights that are packed; None for a tensor that is copied byte for byte.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    n_bytes: int
    chunks: Callable[[], Iterator[Bytes]]
    source: Lazy | None = None

    @property
    def is_lossless(self) -> bool:
        """Whether it holds every weight of its source as it was."""
        return self.source is None or self.format in ("F32", self.source.format)


def pack(name: str, tensor: Lazy, form: str) -> Packed:
    """`tensor` in the format `form`, read and packed when it is written.

    Raises (while it is written) BadInput for weights the format cannot hold: NaN or infinity where it is
    blocks, more than 65504 where it is F16.
    """
    n_bytes = bytes_of(tensor.shape, form)
    return Packed(name, tensor.shape, form, n_bytes, lambda: _chunks(name, tensor, form), tensor)


def copied(model: GgufModel, name: str) -> Packed:
    """A tensor of a GGUF file, byte for byte."""
    info = model.tensors[name]

    def chunks() -> Iterator[Bytes]:
        yield model.read(name).reshape(-1)

    return Packed(name, info.shape, info.format, info.n_bytes, chunks)


def fits(shape: tuple[int, ...], form: str) -> bool:
    """Whether rows of this shape are whole blocks of the format."""
    return bool(shape) and shape[-1] % formats.get(form).BLOCK_WEIGHTS == 0


def bytes_of(shape: tuple[int, ...], form: str) -> int:
    """Bytes of a tensor of this shape in the format."""
    block = formats.get(form)
    return math.prod(shape) // block.BLOCK_WEIGHTS * block.BLOCK_BYTES


def _chunks(name: str, tensor: Lazy, form: str) -> Iterator[Bytes]:
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
    if ((size > _LARGEST_F16) & np.isfinite(size)).any():
        raise BadInput(f"it has weights beyond {_LARGEST_F16:.0f}, the largest of F16; take BF16 or F32")
