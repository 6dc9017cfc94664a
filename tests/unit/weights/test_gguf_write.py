"""The `gguf` package and our reader read what we write: the same values, types and bytes."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from zeropoint import formats
from zeropoint.errors import BadInput
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import TypedValue, file_bytes, typed_metadata, write_gguf
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import copy_tensor, pack

METADATA = {
    "general.architecture": "tiny",
    "a.small": 7,
    "a.negative": -7,
    "a.large": 2**40,
    "a.larger": 2**63,
    "a.far": -(2**40),
    "a.float": 0.5,
    "a.flag": True,
    "a.text": "é\U0001f600\n",
    "a.kinds": [1, -2],
    "a.big kinds": [1, 2**31],
    "a.words": ["a", "", "Ġb"],
    "a.scores": [0.5, -1.0],
    "a.flags": [True, False],
    "a.exact": TypedValue(0.1, "FLOAT64"),
    "a.bytes": TypedValue([1, 255], "ARRAY of UINT8"),
    "a.none": TypedValue([], "ARRAY of STRING"),
}
TYPES = {
    "a.small": "UINT32",
    "a.negative": "INT32",
    "a.large": "INT64",
    "a.larger": "UINT64",
    "a.far": "INT64",
    "a.float": "FLOAT32",
    "a.flag": "BOOL",
    "a.kinds": "ARRAY of INT32",
    "a.big kinds": "ARRAY of UINT32",
    "a.words": "ARRAY of STRING",
    "a.scores": "ARRAY of FLOAT32",
    "a.exact": "FLOAT64",
    "a.bytes": "ARRAY of UINT8",
    "a.none": "ARRAY of STRING",
}


def lazy(*shape: int, seed: int = 3) -> LazyTensor:
    array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return LazyTensor(shape, "F32", array.copy)


def untyped(value: object) -> object:
    return value.value if isinstance(value, TypedValue) else value


def test_metadata_is_written_with_its_types(tmp_path: Path):
    path = tmp_path / "x.gguf"
    write_gguf(path, METADATA, [])
    model = open_gguf(path)
    assert dict(model.metadata) == {key: untyped(value) for key, value in METADATA.items()}
    assert {key: model.metadata.type_of(key) for key in TYPES} == TYPES
    fields = gguf.GGUFReader(path).fields
    assert [key for key in fields if not key.startswith("GGUF.")] == list(METADATA)
    for key, value in METADATA.items():
        np.testing.assert_equal(fields[key].contents(), untyped(value))


def test_tensors_of_every_format_are_written(tmp_path: Path):
    path = tmp_path / "x.gguf"
    known = gguf.GGMLQuantizationType.__members__  # not Q2_0
    tensors = {f"t.{form}": (lazy(3, 256), form) for form in formats.writable() if form in known}
    tensors |= {"vector": (lazy(5), "F32"), "cube": (lazy(2, 3, 32), "Q8_0")}
    packed = [pack(name, tensor, form) for name, (tensor, form) in tensors.items()]
    chunk_bytes: list[int] = []
    write_gguf(path, METADATA, packed, on_write=chunk_bytes.append)
    assert path.stat().st_size == file_bytes(METADATA, packed)
    assert sum(chunk_bytes) == sum(tensor.n_bytes for tensor in packed)
    reference = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert list(reference) == list(tensors)
    for name, (tensor, form) in tensors.items():
        expected = formats.get(form).pack(tensor.read()).tobytes()
        assert reference[name].tensor_type.name == form
        assert tuple(reversed(reference[name].shape.tolist())) == tensor.shape
        assert reference[name].data.tobytes() == expected
        assert open_gguf(path).read(name).tobytes() == expected


def test_packing_in_chunks_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tensor = lazy(7, 64)
    at_once = b"".join(chunk.tobytes() for chunk in pack("w", tensor, "Q8_0").chunks())
    monkeypatch.setattr("zeropoint.weights.packing._CHUNK_WEIGHTS", 128)
    chunks = [chunk.tobytes() for chunk in pack("w", tensor, "Q8_0").chunks()]
    assert len(chunks) == 4
    assert b"".join(chunks) == at_once


def test_rewriting_a_file_reproduces_it(tmp_path: Path):
    first, second = tmp_path / "1.gguf", tmp_path / "2.gguf"
    write_gguf(first, METADATA, [pack("w", lazy(4, 64), "Q4_0"), pack("v", lazy(5), "F32")])
    model = open_gguf(first)
    write_gguf(second, typed_metadata(model), [copy_tensor(model, name) for name in model.tensors])
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"k": TypedValue(-1, "UINT32")}, "metadata `k` cannot be written as UINT32"),
        ({"k": TypedValue(1, "UINT33")}, "metadata `k` cannot be written as UINT33"),
        ({"k": None}, "metadata `k` is a NoneType; GGUF has no such type"),
        ({"k": []}, "must be a list of one type, not empty"),
        ({"k": [1, "a"]}, "must be a list of one type"),
    ],
)
def test_unsupported_values_are_rejected(metadata, words: str, tmp_path: Path):
    with pytest.raises(BadInput, match=words):
        write_gguf(tmp_path / "x.gguf", metadata, [])


def test_unsupported_tensors_are_rejected(tmp_path: Path):
    with pytest.raises(BadInput, match="tensor `w` has 5 dimensions; GGUF supports 1 to 4"):
        write_gguf(tmp_path / "x.gguf", {}, [pack("w", lazy(1, 1, 1, 1, 32), "F32")])
    nan = LazyTensor((32,), "F32", lambda: np.full(32, np.nan, np.float32))
    with pytest.raises(BadInput, match="tensor `w`: weights contain NaN"):
        write_gguf(tmp_path / "x.gguf", {}, [pack("w", nan, "Q8_0")])


def test_strings_are_split_at_their_first_space(tmp_path: Path):
    lines = ["a b", "ab", "", " ", "a ", " b", "a b c", "Ġ é", "a b"]
    path = tmp_path / "x.gguf"
    write_gguf(path, {**METADATA, "a.pairs": lines}, [])
    metadata = open_gguf(path).metadata
    assert metadata.pairs("a.pairs") == [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]
    assert [metadata.pairs(key) for key in ("a.none", "a.kinds", "a.text", "not there")] == [
        [],
        None,
        None,
        None,
    ]
