"""The header of a safetensors file: checked as its specification says, and in everything it leaves open.

Format: 8 bytes with the header's length (little-endian), JSON, then the tensors without gaps.
"""

from __future__ import annotations

import math
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.frozen import frozen
from zeropoint.weights.json_file import parse_object

__all__ = ["BYTES_OF", "MAX_HEADER_BYTES", "Entry", "header_bytes", "parse_header"]

MAX_HEADER_BYTES = 100_000_000  # the reference's limit
MAX_TENSORS = 1 << 17  # in one file; the largest published models have some thousands
MAX_DIMENSIONS = 8
BYTES_OF = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E5M2": 1, "F8_E4M3": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip

_FIELDS = {"dtype", "shape", "data_offsets"}
_COMMAS = 4 + MAX_DIMENSIONS  # of one tensor, at most
_LARGEST = 2**64 - 1


@frozen
class Entry:
    """One tensor: its type, shape, and where its bytes begin and end after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_bytes(head: bytes, file_bytes: int, name: str) -> int:
    """Length of the JSON that the first 8 bytes of a file announce, checked against the file's size."""
    if len(head) < 8:
        raise BadModelFile(f"{name} has {file_bytes} bytes, too few for a safetensors file; fetch it again")
    n = int.from_bytes(head[:8], "little")
    if n > MAX_HEADER_BYTES or n > file_bytes - 8:
        raise BadModelFile(
            f"{name}: the header has {n} bytes by its first 8; it may have at most "
            f"{min(MAX_HEADER_BYTES, file_bytes - 8)}: it is no safetensors file, or it is cut off"
        )
    return n


def parse_header(header: bytes, data_bytes: int, name: str) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors in a header in the order of their bytes, and its `__metadata__`.

    data_bytes: how many bytes follow the header. Raises BadModelFile naming the file and the fault.
    """
    where = f"{name}: the header"
    if not header.startswith(b"{"):
        raise BadModelFile(f"{where} must begin with {{; it is no safetensors file")
    # Bounds what parsing may allocate before anything is parsed.
    if header.count(b"{") > MAX_TENSORS + 1 or header.count(b",") > _COMMAS * MAX_TENSORS:
        raise BadModelFile(f"{where} has more than {MAX_TENSORS} tensors")
    parsed = parse_object(header, where)
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or {type(value) for value in metadata.values()} - {str}:
        raise BadModelFile(f"{where}: `__metadata__` must be an object of texts")
    entries = {key: _entry(value, f"{name}: tensor {key!a:.80}") for key, value in parsed.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_layout(ordered, data_bytes, name)
    return ordered, metadata


def _entry(value: Any, about: str) -> Entry:
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise BadModelFile(f"{about} must be an object of dtype, shape and data_offsets")
    dtype = value["dtype"]
    if not isinstance(dtype, str) or dtype not in BYTES_OF:
        raise BadModelFile(f"{about} has the unknown dtype {dtype!a:.40}")
    offsets = _numbers(value["data_offsets"], 2, f"{about}: data_offsets")
    if len(offsets) != 2:
        raise BadModelFile(f"{about}: data_offsets must be two numbers")
    return Entry(dtype, tuple(_numbers(value["shape"], MAX_DIMENSIONS, f"{about}: shape")), *offsets)


def _numbers(value: Any, most: int, about: str) -> list[int]:
    if not isinstance(value, list) or len(value) > most:
        raise BadModelFile(f"{about} must be a list of at most {most} whole numbers")
    if not all(type(number) is int and 0 <= number <= _LARGEST for number in value):
        raise BadModelFile(f"{about} must be whole numbers from 0 to {_LARGEST}")
    return value


def _check_layout(entries: dict[str, Entry], data_bytes: int, name: str) -> None:
    """Every byte belongs to one tensor, and each tensor has the bytes that its shape asks for."""
    at = 0
    for key, entry in entries.items():
        about = f"{name}: tensor {key!a:.80}"
        if entry.begin > entry.end or entry.begin != at:
            raise BadModelFile(
                f"{about} has the data_offsets [{entry.begin}, {entry.end}]; by the one before it they must "
                f"begin at {at}"
            )
        if entry.end > data_bytes:
            raise BadModelFile(f"{about} ends at byte {entry.end} of {data_bytes}; fetch the file again")
        wanted = math.prod(entry.shape) * BYTES_OF[entry.dtype]  # of Python's own integers: it cannot wrap
        if wanted != entry.end - entry.begin:
            raise BadModelFile(
                f"{about} of shape {list(entry.shape)} needs {wanted} bytes; its data_offsets hold "
                f"{entry.end - entry.begin}"
            )
        at = entry.end
    if at != data_bytes:
        raise BadModelFile(f"{name} has {data_bytes - at} bytes after its last tensor; fetch it again")
