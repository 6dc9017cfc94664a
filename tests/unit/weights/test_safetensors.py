"""Our safetensors and the reference library's are interchangeable, bit for bit, sharded or not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zeropoint.errors import BadInput, BadModelFile, DiskError
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack
from zeropoint.weights.safetensors.reader import open_safetensors, open_sharded
from zeropoint.weights.safetensors.writer import write_safetensors, write_shards

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lazy(array: np.ndarray) -> LazyTensor:
    return LazyTensor(array.shape, "F32", lambda: array)


@pytest.mark.parametrize("form", TYPES)
def test_the_reference_reads_what_we_write(form: str, tmp_path: Path):
    path = tmp_path / "x.safetensors"
    arrays = {"a": weights(5, 3), "ä/b": weights(7), "scalar": weights(), "none": weights(0, 3)}
    write_safetensors(path, [pack(name, lazy(array), form) for name, array in arrays.items()])
    for name, tensor in load_file(path).items():
        assert tensor.dtype == TYPES[form]
        assert torch.equal(tensor, torch.from_numpy(arrays[name]).to(TYPES[form]))


def test_we_read_what_the_reference_writes(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    tensors = {f"{form}{i}": torch.randn(3, i).to(kind) for form, kind in TYPES.items() for i in range(1, 4)}
    tensors["scalar"] = torch.tensor(2.5)
    save_file(tensors, path, metadata={"format": "pt", "about": "é\n"})
    model = open_safetensors(path)
    assert model.metadata == {"format": "pt", "about": "é\n"}
    assert model.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert model.tensors[name].shape == tuple(tensor.shape)
        np.testing.assert_array_equal(model.array(name), tensor.float().numpy())
        assert model.read(name).tobytes() == tensor.view(-1).view(torch.uint8).numpy().tobytes()


def test_non_float_dtypes_are_listed_but_not_read(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"ids": torch.arange(4), "flag": torch.tensor([True])}, path)
    model = open_safetensors(path)
    assert {name: info.format for name, info in model.tensors.items()} == {"ids": "I64", "flag": "BOOL"}
    with pytest.raises(BadModelFile, match="tensor 'ids' is I64; weights must be one of F32, F16"):
        model.array("ids")
    with pytest.raises(BadModelFile, match="tensor 'gone' is missing"):
        model.array("gone")


def test_shards_are_written_with_an_index(tmp_path: Path):
    arrays = {f"t{i}": weights(10, seed=i) for i in range(5)}
    chunk_bytes: list[int] = []
    paths = write_shards(
        tmp_path,
        [pack(name, lazy(a), "F32") for name, a in arrays.items()],
        shard_bytes=100,
        on_write=chunk_bytes.append,
    )
    assert [path.name for path in paths] == [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)]
    assert sum(chunk_bytes) == 200
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 200}
    model = open_sharded(tmp_path / "model.safetensors.index.json")
    assert model.paths == tuple(paths)
    assert model.name == str(tmp_path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(model.array(name), array)


def test_a_single_shard_is_written_as_one_file(tmp_path: Path):
    assert write_shards(tmp_path, [pack("a", lazy(weights(9)), "F32")], shard_bytes=1) == [
        tmp_path / "model.safetensors"
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_file_truncated_after_opening_is_a_disk_error(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.randn(100)}, path)
    model = open_safetensors(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DiskError, match="changed or was truncated while it was being read"):
        model.array("a")
    with pytest.raises(BadModelFile, match=r"tensor 'a' ends at byte 400 of 399"):
        open_safetensors(path)


def test_f16_overflow_is_an_error(tmp_path: Path):
    large = lazy(np.array([1.0, 70000.0], np.float32))
    with pytest.raises(BadInput, match="tensor `w`: weights exceed 65504"):
        write_safetensors(tmp_path / "x", [pack("w", large, "F16")])
    write_safetensors(tmp_path / "x", [pack("w", lazy(np.array([np.inf, np.nan], np.float32)), "F16")])
