"""The header of a safetensors file, validated beyond what its specification requires.

Format: 8 bytes with the header's length (little-endian), JSON, then the tensors without gaps.
"""

from __future__ import annotations

import math
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.frozen import frozen
from zeropoint.weights.json_file import parse_json_object, stand_in

__all__ = ["DTYPE_BITS", "MAX_HEADER_BYTES", "TensorEntry", "header_bytes", "parse_header"]

MAX_HEADER_BYTES = 100_000_000  # the reference implementation's limit
MAX_TENSORS = 1 << 17  # per file; the largest published models have a few thousand
MAX_DIMENSIONS = 64  # numpy's limit
DTYPE_BITS = {
    "C64": 64, "F64": 64, "F32": 32, "F16": 16, "BF16": 16,
    "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip

_FIELDS = {"dtype", "shape", "data_offsets"}  # further ones are ignored, as by the reference implementation
_MAX_COMMAS = 12  # per tensor, on average
_MAX_ARRAY_BYTES = 2**63 - 1  # numpy's limit, which also counts the other dimensions of an empty array
_MAX_NUMBER = 2**64 - 1


@frozen
class TensorEntry:
    """One tensor: dtype, shape, and its byte range [begin, end) after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_bytes(head: bytes, file_bytes: int, name: str) -> int:
    """Length of the JSON header according to the file's first 8 bytes, checked against the file's size."""
    if len(head) < 8:
        raise BadModelFile(f"{name} has {file_bytes} bytes, too few for a safetensors file; fetch it again")
    n = int.from_bytes(head[:8], "little")
    if n > MAX_HEADER_BYTES or n > file_bytes - 8:
        if what := stand_in(head):
            raise BadModelFile(f"{name} {what}")
        raise BadModelFile(
            f"{name}: the first 8 bytes declare a header of {n} bytes, but it may have at most "
            f"{min(MAX_HEADER_BYTES, file_bytes - 8)}; the file is truncated or not a safetensors file"
        )
    return n


def parse_header(header: bytes, data_bytes: int, name: str) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """Parse a header: its tensors in the order of their bytes, and its `__metadata__`.

    data_bytes: the number of bytes after the header. Raises BadModelFile naming the file and the problem.
    """
    where = f"{name}: the header"
    if not header.startswith(b"{"):
        raise BadModelFile(f"{where} must begin with {{; it is not a safetensors file")
    # Bounds the memory of parsing before parsing anything.
    if header.count(b"{") > MAX_TENSORS + 1 or header.count(b",") > _MAX_COMMAS * MAX_TENSORS:
        raise BadModelFile(f"{where} has more than {MAX_TENSORS} tensors")
    parsed = parse_json_object(header, where)
    metadata = parsed.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or {type(value) for value in metadata.values()} - {str}:
        raise BadModelFile(f"{where}: `__metadata__` must be an object whose values are strings")
    entries = {key: _entry(value, f"{name}: tensor {key!a:.80}") for key, value in parsed.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_layout(ordered, data_bytes, name)
    return ordered, metadata


def _entry(value: Any, about: str) -> TensorEntry:
    if not isinstance(value, dict) or not value.keys() >= _FIELDS:
        raise BadModelFile(f"{about} must be an object of dtype, shape and data_offsets")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise BadModelFile(f"{about} has the unknown dtype {dtype!a:.40}")
    offsets = _numbers(value["data_offsets"], 2, f"{about}: data_offsets")
    if len(offsets) != 2:
        raise BadModelFile(f"{about}: data_offsets must be two numbers")
    shape = tuple(_numbers(value["shape"], MAX_DIMENSIONS, f"{about}: shape"))
    if math.prod(n or 1 for n in shape) * DTYPE_BITS[dtype] > 8 * _MAX_ARRAY_BYTES:
        raise BadModelFile(
            f"{about} has the shape {list(shape)!s:.80}, which no array can have; fetch the file again"
        )
    return TensorEntry(dtype, shape, *offsets)


def _numbers(value: Any, max_count: int, about: str) -> list[int]:
    if not isinstance(value, list) or len(value) > max_count:
        raise BadModelFile(f"{about} must be a list of at most {max_count} integers")
    if not all(type(number) is int and 0 <= number <= _MAX_NUMBER for number in value):
        raise BadModelFile(f"{about} must be integers from 0 to {_MAX_NUMBER}")
    return value


def _check_layout(entries: dict[str, TensorEntry], data_bytes: int, name: str) -> None:
    """Check that every byte belongs to exactly one tensor and every tensor's size matches its shape."""
    at = 0
    for key, entry in entries.items():
        about = f"{name}: tensor {key!a:.80}"
        if entry.begin > entry.end or entry.begin != at:
            raise BadModelFile(
                f"{about} has data_offsets [{entry.begin}, {entry.end}]; they must begin at {at}, where the "
                "previous tensor ends"
            )
        if entry.end > data_bytes:
            raise BadModelFile(f"{about} ends at byte {entry.end} of {data_bytes}; fetch the file again")
        n_bits = math.prod(entry.shape) * DTYPE_BITS[entry.dtype]  # Python integers cannot overflow
        if n_bits != 8 * (entry.end - entry.begin):
            raise BadModelFile(
                f"{about} of shape {list(entry.shape)} needs {-(-n_bits // 8)} bytes; its data_offsets span "
                f"{entry.end - entry.begin}"
            )
        at = entry.end
    if at != data_bytes:
        raise BadModelFile(f"{name} has {data_bytes - at} bytes after its last tensor; fetch it again")
