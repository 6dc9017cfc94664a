"""What a conversion wrote is what it read: every tensor of the result against the tensor it was made of.

The result is read back through our own reader, some rows at a time. Formats of single numbers (F32, F16,
BF16) must hold exactly what their rounding gives, copied tensors the same bytes; in a format of blocks no
weight may be further off than the format's step can take it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zeropoint import formats
from zeropoint.errors import BadModelFile
from zeropoint.weights.duplicate_tensors import row_chunks
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.open_model import Opened
from zeropoint.weights.packing import PackedTensor

__all__ = ["check_tensors"]

# Scales are F16: half of its smallest step, times what Q6_K multiplies a scale with (127 * 32).
_SCALE_ROUNDING = np.float32(127 * 32 * 2.0**-25)


def check_tensors(
    again: Opened,
    tensors: list[PackedTensor],
    target: str,
    checked: Callable[[int], None] = lambda n_bytes: None,
) -> None:
    """Compare every tensor of the result with its source.

    again: the result, opened; target: its name in a message; checked: told of bytes as they are compared.
    Raises BadModelFile naming the tensor that did not arrive, DiskError.
    """
    stored = again.file if isinstance(again.file, GgufModel) else again.file.stored
    for tensor in tensors:
        if tensor.source is None and isinstance(stored, GgufModel):
            is_same = _is_copy(stored, tensor)
        else:
            is_same = _is_rounded(stored.rows, tensor)
        if not is_same:
            raise BadModelFile(f"{target}: tensor `{tensor.name}` did not arrive as written; try again")
        checked(tensor.n_bytes)


def _is_copy(stored: GgufModel, tensor: PackedTensor) -> bool:
    at, written = 0, stored.read(tensor.name).reshape(-1)
    for chunk in tensor.chunks():
        if not np.array_equal(written[at : at + chunk.size], chunk):
            return False
        at += chunk.size
    return at == written.size


def _is_rounded(rows: Callable[[str, int, int], NDArray[np.float32]], tensor: PackedTensor) -> bool:
    if tensor.source is None:
        raise BadModelFile(f"tensor `{tensor.name}` is a copy and must be compared as bytes")
    weights = tensor.source.read()
    for begin, end in row_chunks(tensor.shape):
        wanted = weights[begin:end] if tensor.shape else weights
        if not _is_near(np.ascontiguousarray(wanted), rows(tensor.name, begin, end), tensor.format):
            return False
    return True


def _is_near(wanted: NDArray[np.float32], found: NDArray[np.float32], form: str) -> bool:
    block = formats.get(form)
    if block.BLOCK_WEIGHTS == 1:
        rounded = block.unpack(block.pack(wanted.reshape(1, -1))).reshape(wanted.shape)
        return np.array_equal(rounded, found, equal_nan=True)
    # b bits make 2^b steps over twice the largest of a block. Two steps, since the scales of parts of a block
    # are rounded too and some formats cut what lies outside of their range.
    share = np.float32(2.0 ** (2 - block.BLOCK_BYTES * 8 // block.BLOCK_WEIGHTS))
    blocks = wanted.reshape(-1, block.BLOCK_WEIGHTS)
    largest = np.abs(blocks).max(-1)
    off = np.abs(blocks - found.reshape(blocks.shape)).max(-1)
    return bool((off <= largest * share + _SCALE_ROUNDING).all())
