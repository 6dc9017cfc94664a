"""Check that tensors which a file stores twice are equal; reading only one would hide a difference.

Tied models are saved in two ways: `lm_head.weight` next to the embedding it equals, or the embedding alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from re import fullmatch

from zeropoint.blueprint.sources import TensorSource, stored_names
from zeropoint.errors import BadModelFile
from zeropoint.weights.stored_tensors import StoredTensors, format_names

__all__ = ["check_duplicates", "find_duplicates", "row_chunks"]

_CHUNK_WEIGHTS = 1 << 20  # weights compared at a time


def find_duplicates(
    names: Iterable[str], patterns: Mapping[str, str], sources: Mapping[str, TensorSource]
) -> dict[str, str]:
    """Stored names that duplicate another tensor, each mapped to the stored name that is read instead.

    patterns: as returned by `families.duplicate_names`.
    """
    duplicates = {}
    for name in sorted(names):
        for pattern, ours in patterns.items():
            if ours in sources and fullmatch(pattern, name):
                duplicates[name] = stored_names(sources[ours])[0]
    return duplicates


def check_duplicates(stored: StoredTensors, duplicates: Mapping[str, str]) -> None:
    """Compare each duplicate with its original, a few rows at a time.

    Raises BadModelFile naming file and tensor where they differ, DiskError.
    """
    for name, original in duplicates.items():
        if not _are_equal(stored, name, original):
            raise BadModelFile(
                f"{stored.name}: tensor {format_names([name])} differs from {format_names([original])}, "
                "which it must equal in this model; the file is damaged or belongs to another model"
            )


def row_chunks(shape: tuple[int, ...]) -> Iterable[tuple[int, int]]:
    """(begin, end) of row ranges along the first axis, each small enough to bound memory."""
    n_rows = shape[0] if shape else 1
    n_weights = prod(shape[1:])
    step = max(1, _CHUNK_WEIGHTS // max(1, n_weights))
    return ((begin, min(begin + step, n_rows)) for begin in range(0, n_rows, step))


def _are_equal(stored: StoredTensors, name: str, original: str) -> bool:
    import numpy as np

    shape = tuple(stored.tensors[name].shape)
    return shape == tuple(stored.tensors[original].shape) and all(
        np.array_equal(stored.rows(name, *rows), stored.rows(original, *rows), equal_nan=True)
        for rows in row_chunks(shape)
    )
