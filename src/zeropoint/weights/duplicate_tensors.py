"""Tensors that a file holds twice must be the same twice: else one of them would be left out without a word.

Tied models are saved both ways: `lm_head.weight` beside the embedding that it is, or the embedding alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from re import fullmatch
from typing import TYPE_CHECKING

from zeropoint.blueprint.sources import TensorSource, stored_names
from zeropoint.errors import BadModelFile

if TYPE_CHECKING:
    from zeropoint.weights.mapping import Stored

__all__ = ["refuse_unless_repeated", "repeats_in", "row_steps"]

_CHUNK_WEIGHTS = 1 << 20  # compared at once


def repeats_in(
    names: Iterable[str], repeated: Mapping[str, str], sources: Mapping[str, TensorSource]
) -> dict[str, str]:
    """Those of the stored names that hold a tensor once more, each to the stored name that is read.

    repeated: as `families.repeated` gives it.
    """
    found = {}
    for name in sorted(names):
        for pattern, ours in repeated.items():
            if ours in sources and fullmatch(pattern, name):
                found[name] = stored_names(sources[ours])[0]
    return found


def refuse_unless_repeated(stored: Stored, repeats: Mapping[str, str]) -> None:
    """Compare whole tensors, some rows at a time. Raises BadModelFile naming file and tensor; DiskError."""
    for name, other in repeats.items():
        if not _is_same(stored, name, other):
            from zeropoint.weights.mapping import shown_names

            raise BadModelFile(
                f"{stored.name}: tensor {shown_names([name])} differs from {shown_names([other])}, which it "
                "must repeat in a model like this; the file is damaged, or of another model"
            )


def row_steps(shape: tuple[int, ...]) -> Iterable[tuple[int, int]]:
    """(begin, end) of the rows along the first axis to look at in turn, so that memory stays small."""
    n_rows = shape[0] if shape else 1
    n_weights = prod(shape[1:])
    step = max(1, _CHUNK_WEIGHTS // max(1, n_weights))
    return ((begin, min(begin + step, n_rows)) for begin in range(0, n_rows, step))


def _is_same(stored: Stored, name: str, other: str) -> bool:
    import numpy as np

    shape = tuple(stored.tensors[name].shape)
    return shape == tuple(stored.tensors[other].shape) and all(
        np.array_equal(stored.rows(name, *rows), stored.rows(other, *rows), equal_nan=True)
        for rows in row_steps(shape)
    )
