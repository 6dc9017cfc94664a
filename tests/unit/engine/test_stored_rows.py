"""The rows that the native engine gathers from a stored tensor, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zeropoint.blueprint.sources import Permuted, Regrouped, Rename, Rows, TensorSource
from zeropoint.engine.native.model_spec import _stored
from zeropoint.errors import BadInput
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor, from_stored
from zeropoint.weights.packing import pack

ROWS = np.arange(24 * 32, dtype=np.float32).reshape(24, 32)


@pytest.fixture
def file(tmp_path: Path) -> GgufModel:
    write_gguf(tmp_path / "m.gguf", {}, [pack("w", LazyTensor(ROWS.shape, "F32", ROWS.copy), "F32")])
    return open_gguf(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    "source",
    [
        Rename("w"),
        Rows(Rename("w"), 5, 9),
        Regrouped(Rename("w"), 4, 2),
        Rows(Regrouped(Rename("w"), 4, 2), 0, 12),
        Rows(Regrouped(Rename("w"), 3, 2), 10, 17),
        Regrouped(Rename("w"), 2, 4, begin=8),
        Regrouped(Rows(Rename("w"), 0, 24), 6, 2, begin=12),
    ],
    ids=repr,
)
def test_runs_of_rows_equal_the_evaluated_source(source: TensorSource, file: GgufModel) -> None:
    name, n_rows, runs, change = _stored(file, source)
    assert (name, change) == ("w", "")
    gathered = np.concatenate([ROWS[first : first + n] for first, n in runs]) if runs else ROWS
    expected = from_stored(file, {"ours": source}, {"ours": gathered.shape})["ours"]
    np.testing.assert_array_equal(gathered, expected)
    assert n_rows == (24 if runs else 0)


def test_columns_in_another_order_are_refused_by_name(file: GgufModel) -> None:
    columns = (Regrouped(Rename("w"), 4, 2, axis=1), Rows(Rename("w"), 0, 8, axis=1))
    for source in (*columns, Permuted(Rename("w"), 2, is_interleaved=True)):
        with pytest.raises(BadInput, match=f"cannot read a {type(source).__name__} tensor; use torch"):
            _stored(file, source)
