"""GGUF files, also in parts, as metadata and a table of tensors (GGUF specification, versions 2 and 3).

The header is parsed and checked natively (`native/formats/gguf.cpp`); here it gets its Python face. Nothing
is decoded before it is asked for, and tensor bytes are read, not mapped, so that a file which shrinks
meanwhile is an error and not a signal. Numpy is imported only there: the engine reads weights itself.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from zeropoint import _native, formats
from zeropoint.errors import BadInput, BadModelFile, DiskError, OutOfMemory
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights.gguf import shards

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "GgufModel",
    "HeaderTooShort",
    "Metadata",
    "TensorInfo",
    "Value",
    "open_gguf",
    "parse_header",
    "read_tensor",
]

Value: TypeAlias = int | float | bool | str | list[Any]
_Item = TypeVar("_Item", int, float, bool, str)

_REQUIRED: Any = object()
_VOCABULARY = tuple(f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges"))
_CHUNK_WEIGHTS = 1 << 20
_KINDS = {int: "an integer", float: "a float", bool: "a bool", str: "a text", list: "a list"}


class HeaderTooShort(BadModelFile):
    """The bytes given to `parse_header` end before the header does; `wanted_bytes` gets further."""

    def __init__(self, message: str, wanted_bytes: int) -> None:
        super().__init__(message)
        self.wanted_bytes = wanted_bytes


@frozen
class TensorInfo:
    """Where a tensor lies and how: shape in torch order (last axis contiguous), bytes from `offset` on."""

    name: str
    format: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int
    path: Path

    def rows(self, begin: int, end: int) -> TensorInfo:
        """The tensor of the rows [begin, end) along the first axis alone; a scalar is one row."""
        n_rows = self.shape[0] if self.shape else 1
        row_bytes = self.n_bytes // n_rows
        shape = (end - begin, *self.shape[1:]) if self.shape else ()
        offset = self.offset + begin * row_bytes
        return replace(self, shape=shape, offset=offset, n_bytes=(end - begin) * row_bytes)


class Metadata(Mapping[str, Value]):
    """The metadata of a header; a value is decoded anew each time it is asked for."""

    def __init__(self, header: _native.GgufHeader) -> None:
        self._header = header
        self._index = {key: i for i, key in enumerate(header.keys())}

    def __getitem__(self, key: str) -> Value:
        try:
            value: Value = self._header.value(self._index[key])
        except MemoryError:
            raise OutOfMemory(f"not enough memory for metadata `{_native.printable(key.encode())}`") from None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        return key in self._index

    def pairs(self, key: str) -> list[tuple[str, str]] | None:
        """A list of texts, each cut in two at its first space ("" after a text that has none).

        It takes a third of the memory of the texts and their halves. None where there is no such list.
        """
        try:
            return self._header.pairs(self._index[key]) if key in self._index else None
        except MemoryError:
            raise OutOfMemory(f"not enough memory for metadata `{_native.printable(key.encode())}`") from None

    def type_of(self, key: str) -> str:
        """The type the file declares for `key`: UINT32, STRING, ARRAY of INT32, ..."""
        declared: str = self._header.type(self._index[key])
        return declared


@frozen
class GgufModel:
    """A model file: `paths` are its parts in order, `file_bytes` their sum, `tensors` those of all parts.

    The getters raise BadModelFile, naming file and key, if a value is missing (and there is no `default`),
    of another type than asked for, or out of range.
    """

    paths: tuple[Path, ...]
    metadata: Mapping[str, Value]
    tensors: Mapping[str, TensorInfo]
    file_bytes: int

    __eq__ = object.__eq__  # a file is equal to itself alone
    __hash__ = object.__hash__

    @property
    def name(self) -> str:
        """The file for messages: the first path, or "the model file" if there is none."""
        return display_path(self.paths[0]) if self.paths else "the model file"

    def lean(self) -> GgufModel:
        """The same without the vocabulary's long lists, once a tokenizer is made of them."""
        short = (key for key in self.metadata if key not in _VOCABULARY)
        return replace(self, metadata={key: self.metadata[key] for key in short})

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The packed bytes of a tensor, uint8 [..., bytes of a row]."""
        return _packed_rows(self._tensor(name))

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """The weights of a tensor, float32 in its shape."""
        return _weights(self._tensor(name))

    def rows(self, name: str, begin: int, end: int) -> npt.NDArray[np.float32]:
        """The weights of the rows [begin, end) along the first axis, float32."""
        return _weights(self._tensor(name).rows(begin, end))

    def get_int(self, key: str, minimum: int, maximum: int, *, default: int = _REQUIRED) -> int:
        """The integer `key`, from `minimum` to `maximum`."""
        value: int = self._in_range(key, int, minimum, maximum, default)
        return value

    def get_float(
        self, key: str, minimum: float = -math.inf, maximum: float = math.inf, *, default: float = _REQUIRED
    ) -> float:
        """The float `key`, finite and from `minimum` to `maximum`."""
        value: float = self._in_range(key, float, minimum, maximum, default)
        return value

    def get_bool(self, key: str, *, default: bool = _REQUIRED) -> bool:
        """The bool `key`."""
        value: bool = self._scalar(key, bool, "a bool", default)
        return value

    def get_str(self, key: str, *, default: str = _REQUIRED) -> str:
        """The text `key`."""
        value: str = self._scalar(key, str, "a text", default)
        return value

    def get_list(self, key: str, item: type[_Item], *, default: list[_Item] = _REQUIRED) -> list[_Item]:
        """The list `key`, all of whose items are of the type `item`: int, float, bool or str."""
        expected = f"a list of {item.__name__}"
        values: list[_Item] = self._scalar(key, list, expected, default)
        other = {type(value) for value in values} - {item}
        if other:
            raise self._wrong(key, f"is a list of {other.pop().__name__}", expected)
        return values

    def _in_range(self, key: str, kind: type[Any], minimum: Any, maximum: Any, default: Any) -> Any:
        expected = f"an integer from {minimum} to {maximum}" if kind is int else "a finite float"
        if kind is float and math.isfinite(minimum + maximum):
            expected = f"a float from {minimum:g} to {maximum:g}"
        value = self._scalar(key, kind, expected, default)
        # Written so that a NaN fails it.
        if key in self.metadata and not (minimum <= value <= maximum and math.isfinite(value)):
            raise self._wrong(key, f"is {value}", expected)
        return value

    def _scalar(self, key: str, kind: type[Any], expected: str, default: Any) -> Any:
        if key not in self.metadata:
            if default is _REQUIRED:
                raise self._wrong(key, "is missing", expected)
            return default
        value = self.metadata[key]
        if type(value) is not kind:  # a bool is no int here
            raise self._wrong(key, f"is {_KINDS[type(value)]}", expected)
        return value

    def _wrong(self, key: str, what: str, expected: str) -> BadModelFile:
        return BadModelFile(f"{self.name}: metadata `{key}` {what}; it must be {expected}")

    def _tensor(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise BadModelFile(f"{self.name}: tensor `{name}` is missing; the file is not complete")
        return self.tensors[name]


def open_gguf(path: str | os.PathLike[str]) -> GgufModel:
    """The model at `path`; given any part `-0000I-of-0000N.gguf` of a model, all N parts as one.

    Raises BadModelFile for a file that is not a sound GGUF, DiskError if it changes while it is read.
    """
    first = _open(Path(path))
    paths = shards.part_paths(Path(path), first)
    if len(paths) == 1:
        return first
    return shards.join([_open(part) for part in paths])


def parse_header(head: bytes, file_bytes: int, name: str = "the model file") -> GgufModel:
    """The model whose file starts with `head` and has `file_bytes`, for a look before any download.

    Raises HeaderTooShort if the header is longer than `head`. Tensors can not be read from it.
    """
    try:
        header = _native.gguf_parse(head, file_bytes)
    except BadModelFile as error:
        raise BadModelFile(f"{name}: {error}") from None
    if isinstance(header, int):
        message = f"{name}: the header is longer than {len(head)} bytes; give at least {header}"
        raise HeaderTooShort(message, header)
    return _model(header, ())


def _packed_rows(tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    form = formats.get(tensor.format)
    row_bytes = tensor.shape[-1] // form.BLOCK_WEIGHTS * form.BLOCK_BYTES
    return read_tensor(tensor).reshape(*tensor.shape[:-1], row_bytes)


def _weights(tensor: TensorInfo) -> npt.NDArray[np.float32]:
    packed = _packed_rows(tensor)
    try:
        return _unpacked(packed, tensor)
    except MemoryError:
        raise OutOfMemory(f"not enough memory for the weights of `{tensor.name}` as float32") from None


def _unpacked(packed: npt.NDArray[np.uint8], tensor: TensorInfo) -> npt.NDArray[np.float32]:
    """A few rows at a time, since unpacking needs several times their memory."""
    import numpy as np

    form = formats.get(tensor.format)
    if tensor.format == "F32":
        return form.unpack(packed)
    weights = np.empty((math.prod(tensor.shape[:-1]), tensor.shape[-1]), np.float32)
    rows = packed.reshape(len(weights), -1)
    step = max(1, _CHUNK_WEIGHTS // tensor.shape[-1])
    for start in range(0, len(weights), step):
        weights[start : start + step] = form.unpack(rows[start : start + step])
    return weights.reshape(tensor.shape)


def _open(path: Path) -> GgufModel:
    try:
        return _model(_native.gguf_open(os.fsencode(path)), (path,))
    except MemoryError:
        raise OutOfMemory(f"not enough memory to read the header of {display_path(path)}") from None


def _model(header: _native.GgufHeader, paths: tuple[Path, ...]) -> GgufModel:
    path = paths[0] if paths else Path()
    tensors = {
        name: TensorInfo(name, form, shape, offset, n_bytes, path)
        for name, form, shape, offset, n_bytes in header.tensors()
    }
    return GgufModel(paths, Metadata(header), tensors, header.file_bytes)


def read_tensor(tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    """The bytes of a tensor: uint8 [n_bytes]. Raises DiskError if the file has fewer, OutOfMemory."""
    import numpy as np

    if tensor.path == Path():
        raise BadInput(f"tensor `{tensor.name}` cannot be read: only the header of the file is here")
    try:
        packed = np.empty(tensor.n_bytes, np.uint8)
        with open(tensor.path, "rb", buffering=0) as file:
            file.seek(tensor.offset)
            n_read = 0
            while n_read < tensor.n_bytes and (n := file.readinto(packed.data[n_read:])):
                n_read += n
    except MemoryError:
        raise OutOfMemory(f"not enough memory for the {tensor.n_bytes} bytes of `{tensor.name}`") from None
    except OSError as error:
        raise DiskError(f"cannot read {display_path(tensor.path)}: {error.strerror}") from None
    if n_read < tensor.n_bytes:
        path = display_path(tensor.path)
        raise DiskError(f"{path} changed or was truncated while it was read; fetch it again")
    return packed
