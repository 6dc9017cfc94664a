"""Verify a conversion: compare every output tensor with its source.

Our reader reads the result back, a few rows at a time. F32, F16 and BF16 must equal the rounded source
exactly, and copied tensors must have the same bytes; in a block format no weight may differ by more than the
format's step.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zeropoint import formats
from zeropoint.errors import BadModelFile
from zeropoint.weights.duplicate_tensors import row_chunks
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.open_model import OpenedModel
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.stored_tensors import StoredTensors

__all__ = ["verify_tensors"]

# Scales are F16: half of its smallest step, times the largest factor of a scale in Q6_K (127 * 32).
_SCALE_ROUNDING = np.float32(127 * 32 * 2.0**-25)


def verify_tensors(
    result: OpenedModel,
    tensors: list[PackedTensor],
    target: str,
    on_check: Callable[[int], None] = lambda n_bytes: None,
) -> None:
    """Compare every tensor of the result with its source.

    target: the result's name in messages. on_check(n_bytes): called after each tensor.
    Raises BadModelFile naming the tensor that differs, DiskError.
    """
    stored = result.file if isinstance(result.file, GgufModel) else result.file.stored
    for tensor in tensors:
        if tensor.source is None:
            is_same = _is_copy(stored, tensor)
        else:
            is_same = _is_rounded(stored.rows, tensor, tensor.source)
        if not is_same:
            raise BadModelFile(f"{target}: tensor `{tensor.name}` differs from its source; convert again")
        on_check(tensor.n_bytes)


def _is_copy(stored: StoredTensors, tensor: PackedTensor) -> bool:
    offset, written = 0, stored.read(tensor.name).reshape(-1)
    for chunk in tensor.chunks():
        if not np.array_equal(written[offset : offset + chunk.size], chunk):
            return False
        offset += chunk.size
    return offset == written.size


def _is_rounded(
    rows: Callable[[str, int, int], NDArray[np.float32]], tensor: PackedTensor, source: LazyTensor
) -> bool:
    weights = source.read()
    for begin, end in row_chunks(tensor.shape):
        expected = weights[begin:end] if tensor.shape else weights
        if not _is_near(np.ascontiguousarray(expected), rows(tensor.name, begin, end), tensor.format):
            return False
    return True


def _is_near(expected: NDArray[np.float32], actual: NDArray[np.float32], form: str) -> bool:
    block = formats.get(form)
    if block.BLOCK_WEIGHTS == 1:
        rounded = block.unpack(block.pack(expected.reshape(1, -1))).reshape(expected.shape)
        return np.array_equal(rounded, actual, equal_nan=True)
    # b bits divide twice the block's maximum into 2^b steps. Allow two steps: sub-block scales are rounded
    # too, and some formats clip values outside their range.
    tolerance = np.float32(2.0 ** (2 - block.BLOCK_BYTES * 8 // block.BLOCK_WEIGHTS))
    blocks = expected.reshape(-1, block.BLOCK_WEIGHTS)
    largest = np.abs(blocks).max(-1)
    error = np.abs(blocks - actual.reshape(blocks.shape)).max(-1)
    lost = np.float32(getattr(block, "MAX_LOST", 0))
    return bool((error <= np.maximum(largest * tolerance, lost) + _SCALE_ROUNDING).all())
