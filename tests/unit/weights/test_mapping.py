"""Stored tensors map to ours as the family describes, and back, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from zeropoint.blueprint.sources import (
    LogOfNegative,
    Offset,
    Permuted,
    Regrouped,
    Rename,
    Reshaped,
    Rows,
    Stacked,
    TensorSource,
    Transposed,
)
from zeropoint.errors import BadModelFile
from zeropoint.weights.mapping import RenamedTensors, Weights, from_stored, to_stored


@dataclass
class Memory:
    """Stored tensors in memory; `reads` records which were read."""

    arrays: dict[str, np.ndarray]
    reads: list[str] = field(default_factory=list)
    name: str = "memory"
    format: str = "F16"

    @property
    def tensors(self) -> dict[str, SimpleNamespace]:
        return {k: SimpleNamespace(shape=a.shape, format=self.format) for k, a in self.arrays.items()}

    def array(self, name: str) -> np.ndarray:
        self.reads.append(name)
        return self.arrays[name]


def ascending(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def read(
    arrays: dict[str, np.ndarray], sources: dict[str, TensorSource], shapes: dict[str, tuple[int, ...]]
) -> Weights:
    return from_stored(Memory(arrays), sources, shapes)


PLAIN = ascending(6, 4)
CASES = {
    "rename": ({"a": PLAIN}, {"x": Rename("a")}, {"x": PLAIN}),
    "transposed": ({"a": PLAIN}, {"x": Transposed(Rename("a"))}, {"x": PLAIN.T}),
    "offset": ({"a": PLAIN}, {"x": Offset(Rename("a"), 1.0)}, {"x": PLAIN + 1}),
    "reshaped": (
        {"a": ascending(6, 1, 4)},
        {"x": Reshaped(Rename("a"), (6, 4), (6, 1, 4))},
        {"x": PLAIN},
    ),
    "log of negative": (
        {"a": np.array([[-1.0], [-(2.0**20)]], np.float32)},
        {"x": LogOfNegative(Reshaped(Rename("a"), (2,), (2, 1)))},
        {"x": np.array([0.0, 20 * np.log(2)], np.float32)},
    ),
    "rows": (
        {"a": PLAIN},
        {"x": Rows(Rename("a"), 0, 2), "y": Rows(Rename("a"), 2, 6)},
        {"x": PLAIN[:2], "y": PLAIN[2:]},
    ),
    "rows of a transposed tensor": (
        {"a": PLAIN},
        {"y": Rows(Transposed(Rename("a")), 1, 4), "x": Rows(Transposed(Rename("a")), 0, 1)},
        {"x": PLAIN.T[:1], "y": PLAIN.T[1:]},
    ),
    "rows, permuted": (
        {"a": ascending(8, 1)},
        {"x": Permuted(Rows(Rename("a"), 0, 4), 1, True), "y": Rows(Rename("a"), 4, 8)},
        {"x": ascending(8, 1)[[0, 2, 1, 3]], "y": ascending(8, 1)[4:]},
    ),
    "stacked": (
        {"a": PLAIN, "b": -PLAIN},
        {"x": Stacked((Transposed(Rename("a")), Transposed(Rename("b"))))},
        {"x": np.stack([PLAIN.T, -PLAIN.T])},
    ),
    "regrouped": (  # two groups of three members of one row
        {"a": ascending(6, 2)},
        {"x": Regrouped(Rename("a"), 2, 3)},
        {"x": ascending(6, 2)[[0, 3, 1, 4, 2, 5]]},
    ),
    "regrouped from the second row": (
        {"a": ascending(9)},
        {"x": Regrouped(Rename("a"), 2, 2, begin=1)},
        {"x": ascending(9)[[0, 1, 2, 5, 6, 3, 4, 7, 8]]},
    ),
    "regrouped columns": (
        {"a": ascending(2, 6)},
        {"x": Regrouped(Rename("a"), 3, 2, axis=1)},
        {"x": ascending(2, 6)[:, [0, 2, 4, 1, 3, 5]]},
    ),
    "the two halves of every head": (  # each head has two rows, the first of x and the second of y
        {"a": ascending(4, 1)},
        {
            "x": Rows(Regrouped(Rename("a"), 2, 2), 0, 2),
            "y": Rows(Regrouped(Rename("a"), 2, 2), 2, 4),
        },
        {"x": ascending(4, 1)[[0, 2]], "y": ascending(4, 1)[[1, 3]]},
    ),
    # Two heads of six rows: halves 0 1 2 | 3 4 5 become pairs 0 3 | 1 4 | 2 5.
    "to interleaved": (
        {"a": ascending(12, 1)},
        {"x": Permuted(Rename("a"), 2, True)},
        {"x": ascending(12, 1)[[0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]]},
    ),
    "to halves": (
        {"a": ascending(6)},
        {"x": Permuted(Rename("a"), 1, False)},
        {"x": ascending(6)[[0, 2, 4, 1, 3, 5]]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_mapping_round_trips(case: str):
    arrays, sources, expected = CASES[case]
    weights = read(arrays, sources, {name: array.shape for name, array in expected.items()})
    assert list(weights) == list(sources)
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array)
    stored = to_stored(weights.lazy, sources)
    assert stored.keys() == arrays.keys()
    for name, array in arrays.items():
        assert stored[name].shape == array.shape
        assert stored[name].format == "F16"
        np.testing.assert_array_equal(stored[name].read(), array)


def test_tensors_are_read_on_access():
    file = Memory({"a": PLAIN, "b": PLAIN})
    sources = {"x": Rows(Rename("a"), 0, 3), "y": Rows(Rename("a"), 3, 6), "z": Rename("b")}
    weights = from_stored(file, sources, {"x": (3, 4), "y": (3, 4), "z": (6, 4)})
    assert len(weights) == 3
    assert "y" in weights
    assert file.reads == []
    weights["x"], weights["y"]
    assert file.reads == ["a"]  # a fused tensor is read once for consecutive parts


@pytest.mark.parametrize(
    ("arrays", "sources", "shapes", "words"),
    [
        ({}, {"x": Rename("a")}, {"x": (1,)}, "memory lacks 'a'; it is incomplete"),
        ({"a": PLAIN, "b": PLAIN}, {"x": Rename("a")}, {"x": (6, 4)}, "memory has 'b', which this model"),
        (
            {"a": PLAIN},
            {"x": Rename("a")},
            {"x": (4, 6)},
            r"tensor 'a' gives `x` the shape \[6, 4\]; the config",
        ),
        ({"a": PLAIN}, {"x": Rows(Rename("a"), 4, 7)}, {"x": (3, 4)}, r"\[6, 4\]; it needs at least 7 rows"),
        (
            {"a": PLAIN},
            {"x": Regrouped(Rename("a"), 2, 2)},
            {"x": (6, 4)},
            r"\[6, 4\]; it needs 0 and a multiple of 4 along axis 0",
        ),
        ({"a": ascending(3)}, {"x": Transposed(Rename("a"))}, {"x": (3,)}, "it needs two dimensions"),
        (
            {"a": PLAIN},
            {"x": Permuted(Rename("a"), 2, True)},
            {"x": (6, 4)},
            "rows for 2 heads of even width",
        ),
        (
            {"a": PLAIN, "b": PLAIN.T},
            {"x": Stacked((Rename("a"), Rename("b")))},
            {"x": (2, 6, 4)},
            "'a', 'b' must have the same shape",
        ),
        (
            {"a": PLAIN},
            {"x": Reshaped(Rename("a"), (24,), (4, 6))},
            {"x": (24,)},
            r"\[6, 4\]; it needs the shape \[4, 6\]",
        ),
        ({"a": PLAIN}, {"x": Rename("a")}, {"x": (6, 4), "y": (1,)}, "no source is known for 'y'"),
        ({f"a{i}": PLAIN for i in range(9)}, {}, {}, "'a4' and 4 more, which"),
        ({"\x1b[31m": PLAIN}, {}, {}, r"memory has '\\x1b\[31m', which"),
    ],
)
def test_mapping_errors_name_the_tensor(arrays, sources, shapes, words: str):
    with pytest.raises(BadModelFile, match=words):
        read(arrays, sources, shapes)


def test_an_unsupported_dtype_is_rejected_before_reading():
    file = Memory({"a": PLAIN}, format="I64")
    with pytest.raises(BadModelFile, match="tensor 'a' is I64; weights must be one of BF16, F16, F32"):
        from_stored(file, {"x": Rename("a")}, {"x": (6, 4)})
    assert file.reads == []


def test_known_leftovers_are_ignored():
    file = Memory({"a": PLAIN, "h.0.bias": PLAIN, "h.10.bias": PLAIN})
    assert list(from_stored(file, {"x": Rename("a")}, {"x": (6, 4)}, leftovers=[r"h\.\d+\.bias"])) == ["x"]
    with pytest.raises(BadModelFile, match=r"'h.0.bias', 'h.10.bias'"):
        from_stored(file, {"x": Rename("a")}, {"x": (6, 4)}, leftovers=[r"h\.\d"])


def test_a_fused_tensor_with_missing_rows_cannot_be_written():
    sources = {"x": Rows(Rename("a"), 0, 2), "y": Rows(Rename("a"), 3, 6)}
    weights = read({"a": PLAIN}, sources, {"x": (2, 4), "y": (3, 4)})
    with pytest.raises(BadModelFile, match="have a gap"):
        to_stored(weights.lazy, sources)


def test_legacy_names_are_translated():
    file = Memory({"h.0.norm.gamma": PLAIN, "wte.weight": -PLAIN})
    renamed = RenamedTensors(file, "transformer.", {".gamma": ".weight"})
    assert list(renamed.tensors) == ["transformer.h.0.norm.weight", "transformer.wte.weight"]
    np.testing.assert_array_equal(renamed.array("transformer.wte.weight"), -PLAIN)
    assert list(RenamedTensors(Memory({"m.a": PLAIN}), "m.", {}).tensors) == ["m.a"]
    both = Memory({"norm.gamma": PLAIN, "norm.weight": PLAIN})
    with pytest.raises(BadModelFile, match="under its old and its new name"):
        RenamedTensors(both, "", {".gamma": ".weight"})


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_a_decay_rate_is_negative(rate: float):
    weights = read({"a": np.array([-1.0, rate], np.float32)}, {"x": LogOfNegative(Rename("a"))}, {"x": (2,)})
    with pytest.raises(BadModelFile, match="tensor 'a' has a decay rate that is not below 0"):
        weights["x"]
