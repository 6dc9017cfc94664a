"""Our verdict on a safetensors file equals the reference library's, for every convention of the format.

Two deviations are deliberate, because the specification demands them and the library is lenient: keys may not
occur twice, and a header begins with `{`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file

from zeropoint.errors import BadModelFile
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack
from zeropoint.weights.safetensors.header import DTYPE_BITS
from zeropoint.weights.safetensors.reader import open_safetensors
from zeropoint.weights.safetensors.writer import write_safetensors


def tensor(
    dtype: str = "F32", shape: tuple[int, ...] = (1,), begin: int = 0, end: int = 4
) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


ONE = {"w": tensor()}
TEXT = json.dumps(ONE)


def case(header: Mapping[str, object] | str | bytes, n_data: int = 4, length: int | None = None) -> bytes:
    text = header if isinstance(header, str | bytes) else json.dumps(header)
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(n_data)


CASES = {
    "one tensor": case(ONE),
    "no tensors": case({}, 0),
    "scalar": case({"w": tensor(shape=())}),
    "empty name": case({"": tensor()}),
    "header padded with spaces": case(TEXT + " " * 7),
    "header of odd length": case(TEXT + " "),
    "header padded with a newline": case(TEXT + "\n"),
    "header padded with NUL": case(TEXT + "\0"),
    "names in another order than bytes": case({"b": tensor(begin=4, end=8), "a": tensor()}, 8),
    "unknown field": case({"w": {**tensor(), "requires_grad": True}}),
    "missing field": case({"w": {"dtype": "F32", "shape": [1]}}),
    "nine dimensions": case({"w": tensor(shape=(1,) * 9)}),
    "metadata of strings": case({"__metadata__": {"format": "pt", "é": "\n"}, **ONE}),
    "metadata with a number": case({"__metadata__": {"epoch": 1}, **ONE}),
    "metadata with an object": case({"__metadata__": {"a": {}}, **ONE}),
    "metadata that is a list": case({"__metadata__": [], **ONE}),
    "metadata that is null": case({"__metadata__": None, **ONE}),
    "hole": case({"a": tensor(), "b": tensor(begin=8, end=12)}, 12),
    "hole at the start": case({"a": tensor(begin=4, end=8)}, 8),
    "overlap": case({"a": tensor(shape=(2,), end=8), "b": tensor(begin=4, end=8)}, 8),
    "the same bytes twice": case({"a": tensor(), "b": tensor()}),
    "reversed offsets": case({"w": tensor(begin=4, end=0)}),
    "shape and offsets differ": case({"w": tensor(shape=(2,))}),
    "strided layout": case({"w": tensor(shape=(2, 2), end=20)}, 20),
    "bytes after the last tensor": case(ONE, 5),
    "bytes missing": case(ONE, 3),
    "no bytes": b"",
    "seven bytes": bytes(7),
    "length of zero": case("", 0),
    "header that is a list": case("[]", 0),
    "header that is a number": case("7", 0),
    "header cut off": case(TEXT[:-2]),
    "header longer than the file": case(TEXT, 0, 10**6),
    "header above 100 MB": case(TEXT, 0, 100_000_001),
    "header of 2^63 bytes": case(TEXT, 0, 2**63),
    "invalid UTF-8": case(b'{"\xff":' + json.dumps(tensor()).encode() + b"}"),
    "lone surrogate": case('{"\\ud800":' + json.dumps(tensor()) + "}"),
    "NaN in the header": case({"w": {**tensor(), "shape": [float("nan")]}}),
    "nested too deeply": case('{"a":' + "[" * 100_000, 0),
    "fractional shape": case({"w": {**tensor(), "shape": [1.0]}}),
    "negative shape": case({"w": tensor(shape=(-1,))}),
    "shape of 2^64": case({"w": tensor(shape=(2**64,))}),
    "shape whose bytes overflow": case({"w": tensor(shape=(2**62, 2**62))}),
    "zero-size tensor": case({"w": tensor(shape=(0,), end=0)}, 0),
    "zero-size matrix": case({"w": tensor(shape=(3, 0), end=0)}, 0),
    "zero-size tensor between others": case(
        {"a": tensor(), "e": tensor(shape=(0,), begin=4, end=4), "b": tensor(begin=4, end=8)}, 8
    ),
    "zero-size tensor inside another": case({"a": tensor(), "e": tensor(shape=(0,), begin=2, end=2)}),
    "zero times a huge number": case({"w": tensor(shape=(0, 2**64 - 1), end=0)}, 0),
    "a huge number times zero": case({"w": tensor(shape=(2**64 - 1, 0), end=0)}, 0),
    "zero times an overflow": case({"w": tensor(shape=(0, 2**40, 2**40), end=0)}, 0),
    "an overflow times zero": case({"w": tensor(shape=(2**40, 2**40, 0), end=0)}, 0),
    "unknown dtype": case({"w": tensor("F128")}),
    "dtype in lower case": case({"w": tensor("f32")}),
    "dtype that is a number": case({"w": {**tensor(), "dtype": 1}}),
    "three F4 in two bytes": case({"w": tensor("F4", (3,), 0, 2)}, 2),
} | {f"eight {dtype}": case({"w": tensor(dtype, (8,), 0, bits)}, bits) for dtype, bits in DTYPE_BITS.items()}


def is_accepted_by_the_library(path: Path) -> bool:
    """Whether the library opens the file and numpy can have its arrays."""
    try:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                np.empty((0, *file.get_slice(name).get_shape()), np.uint8)
                file.get_slice(name).get_dtype()
    except (SafetensorError, ValueError, OverflowError):
        return False
    return True


def is_accepted_by_us(path: Path) -> bool:
    try:
        model = open_safetensors(path)
    except BadModelFile:
        return False
    for name in model.tensors:
        model.read(name)
    return True


@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_the_librarys(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(CASES[name])
    assert is_accepted_by_us(path) == is_accepted_by_the_library(path)


@pytest.mark.parametrize(
    "text", [TEXT[:-1] + ", " + TEXT[1:], " " + TEXT], ids=["duplicate key", "leading space"]
)
def test_we_follow_the_specification_where_the_library_is_lenient(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(case(text))
    assert is_accepted_by_the_library(path)
    assert not is_accepted_by_us(path)


def test_headers_are_aligned_to_eight_bytes_by_both_writers(tmp_path: Path) -> None:
    array = np.ones(3, np.float32)
    save_file({"w": torch.ones(3)}, tmp_path / "theirs", metadata={"format": "pt"})
    write_safetensors(tmp_path / "ours", [pack("w", LazyTensor((3,), "F32", lambda: array), "F32")])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_tensor_that_is_not_contiguous_is_written_in_order(tmp_path: Path) -> None:
    """The library refuses to write one; the file stores no strides."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    with pytest.raises(ValueError, match="non contiguous"):
        save({"w": torch.from_numpy(array)})
    write_safetensors(tmp_path / "x", [pack("w", LazyTensor((3, 2), "F32", lambda: array), "F32")])
    np.testing.assert_array_equal(load_file(tmp_path / "x")["w"].numpy(), array)
