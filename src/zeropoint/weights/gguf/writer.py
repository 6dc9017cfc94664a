"""Write GGUF version 3 as a stream (GGUF specification; `native/formats/gguf.cpp` reads it)."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zeropoint import _native
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.frozen import frozen
from zeropoint.weights.gguf.model import GgufModel, Metadata, Value
from zeropoint.weights.packing import PackedTensor

__all__ = ["TypedValue", "file_bytes", "typed_metadata", "write_gguf"]

ALIGNMENT = 32  # the specification's default
VERSION = 3
MAX_DIMENSIONS = 4

_TYPES = {
    "UINT8": (0, "B"), "INT8": (1, "b"), "UINT16": (2, "H"), "INT16": (3, "h"), "UINT32": (4, "I"),
    "INT32": (5, "i"), "FLOAT32": (6, "f"), "BOOL": (7, "?"), "STRING": (8, ""), "UINT64": (10, "Q"),
    "INT64": (11, "q"), "FLOAT64": (12, "d"),
}  # fmt: skip
_ARRAY = 9
_PADDING = bytes(ALIGNMENT)


@frozen
class TypedValue:
    """A metadata value with its type in the file: "UINT64", "ARRAY of INT32"."""

    value: Value
    type: str


def typed_metadata(model: GgufModel) -> dict[str, Value | TypedValue]:
    """The metadata of an opened file with its types, without the keys that describe only that file."""
    metadata = model.metadata
    keys = [key for key in metadata if not key.startswith("split.") and key != "general.alignment"]
    if isinstance(metadata, Metadata):
        return {key: TypedValue(metadata[key], metadata.type_of(key)) for key in keys}
    return {key: metadata[key] for key in keys}


def write_gguf(
    path: Path,
    metadata: Mapping[str, Value | TypedValue],
    tensors: Sequence[PackedTensor],
    *,
    on_write: Callable[[int], None] = lambda n: None,
) -> None:
    """Write a GGUF file and flush it to disk. `files.atomic_write.new_file` makes it appear atomically.

    A value without a type gets the one that llama.cpp expects: UINT32, INT32 within arrays, FLOAT32.
    on_write: called with the number of bytes of each chunk. Raises DiskError, BadInput, and packing's errors.
    """
    header = _header(metadata, tensors)
    with write_file(path) as file:
        file.write(header)
        for tensor in tensors:
            n_bytes = 0
            for chunk in tensor.chunks():
                n_bytes += file.write(chunk.data)
                on_write(chunk.nbytes)
            if n_bytes != tensor.n_bytes:
                raise BadInput(
                    f"tensor `{tensor.name}` packed to {n_bytes} bytes instead of {tensor.n_bytes}"
                )
            file.write(_PADDING[: -n_bytes % ALIGNMENT])


def file_bytes(metadata: Mapping[str, Value | TypedValue], tensors: Sequence[PackedTensor]) -> int:
    """The size of the file that `write_gguf` would write, in bytes."""
    return len(_header(metadata, tensors)) + sum(_padded(tensor.n_bytes) for tensor in tensors)


def _header(metadata: Mapping[str, Value | TypedValue], tensors: Sequence[PackedTensor]) -> bytes:
    ids = {name: gguf_id for name, gguf_id, _, _ in _native.formats()}
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", VERSION, len(tensors), len(metadata)))
    for key, value in metadata.items():
        out += _text(key) + _entry(key, value)
    at = 0
    for tensor in tensors:
        if not 1 <= len(tensor.shape) <= MAX_DIMENSIONS:
            raise BadInput(f"tensor `{tensor.name}` has {len(tensor.shape)} dimensions; GGUF supports 1 to 4")
        dims = tensor.shape[::-1]  # the file lists the contiguous axis first
        out += _text(tensor.name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
        out += struct.pack("<IQ", ids[tensor.format], at)
        at += _padded(tensor.n_bytes)
    return bytes(out) + _PADDING[: -len(out) % ALIGNMENT]


def _entry(key: str, value: Value | TypedValue) -> bytes:
    typed = value if isinstance(value, TypedValue) else TypedValue(value, _type_of(key, value))
    kind, _, item = typed.type.partition(" of ")
    try:
        if kind != "ARRAY":
            return struct.pack("<I", _TYPES[kind][0]) + _items(kind, [typed.value])
        values = list(typed.value)  # type: ignore[arg-type]  # an ARRAY's value is a list
        return struct.pack("<IIQ", _ARRAY, _TYPES[item][0], len(values)) + _items(item, values)
    except (struct.error, OverflowError, KeyError):
        raise BadInput(f"metadata `{key}` cannot be written as {typed.type}") from None


def _items(kind: str, values: list[Any]) -> bytes:
    if kind == "STRING":
        return b"".join(_text(value) for value in values)
    return struct.pack(f"<{len(values)}{_TYPES[kind][1]}", *values)


def _type_of(key: str, value: Value) -> str:
    if isinstance(value, list):
        return f"ARRAY of {_item_type(key, value)}"
    if type(value) is int:
        return _integer_type([value], "UINT32")
    return _plain_type(key, value)


def _item_type(key: str, values: list[Any]) -> str:
    kinds = {type(value) for value in values}
    if len(kinds) != 1:
        raise BadInput(
            f"metadata `{key}` must be a list of one type, not empty; wrap an empty list in TypedValue"
        )
    return _integer_type(values, "INT32") if kinds == {int} else _plain_type(key, values[0])


def _plain_type(key: str, value: object) -> str:
    known = {bool: "BOOL", str: "STRING", float: "FLOAT32"}
    if type(value) not in known:
        raise BadInput(f"metadata `{key}` is a {type(value).__name__}; GGUF has no such type")
    return known[type(value)]


def _integer_type(values: list[int], first: str) -> str:
    """`first` if it can hold all the values, else the next type that can."""
    low, high = min(values), max(values)
    for name in (first, "UINT32", "INT32", "INT64"):
        bits, signed = int(name.lstrip("UINT")), name[0] == "I"
        if (-(2 ** (bits - 1)) if signed else 0) <= low and high < 2 ** (bits - signed):
            return name
    return "UINT64"


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(n_bytes: int) -> int:
    return math.ceil(n_bytes / ALIGNMENT) * ALIGNMENT
