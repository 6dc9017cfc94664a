"""An opened GGUF file: typed metadata and a table of tensors.

The native parser (`native/formats/gguf.cpp`) reads and validates the header; these classes are its Python
interface. Metadata and tensors are decoded only on access. Only tensor access imports numpy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from zeropoint import _native, formats
from zeropoint.errors import BadModelFile, OutOfMemory
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights.stored_tensors import TensorInfo, read_tensor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["GgufModel", "Metadata", "Value"]

Value: TypeAlias = int | float | bool | str | list[Any]
_Item = TypeVar("_Item", int, float, bool, str)

_REQUIRED: Any = object()
_VOCABULARY_KEYS = tuple(f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges"))
_CHUNK_WEIGHTS = 1 << 20  # weights unpacked at a time
_TYPE_NAMES = {int: "an integer", float: "a float", bool: "a bool", str: "a string", list: "a list"}


class Metadata(Mapping[str, Value]):
    """The metadata of a header; every access decodes the value again."""

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
        """A list of strings, each split at its first space ("" after a string without one).

        Splitting natively takes a third of the memory of the strings and their halves. None if the file has
        no such list.
        """
        try:
            return self._header.pairs(self._index[key]) if key in self._index else None
        except MemoryError:
            raise OutOfMemory(f"not enough memory for metadata `{_native.printable(key.encode())}`") from None

    def type_of(self, key: str) -> str:
        """The type that the file declares for `key`: UINT32, STRING, ARRAY of INT32, ..."""
        declared: str = self._header.type(self._index[key])
        return declared


@frozen
class GgufModel:
    """A model file. paths: its shards in order; file_bytes: their total size; tensors: of all shards.

    The getters raise BadModelFile, naming file and key, if a value is missing (and has no `default`), has
    another type, or is out of range.
    """

    paths: tuple[Path, ...]
    metadata: Mapping[str, Value]
    tensors: Mapping[str, TensorInfo]
    file_bytes: int

    __eq__ = object.__eq__  # files compare by identity
    __hash__ = object.__hash__

    @property
    def name(self) -> str:
        """The file's name for messages: its first path, or "the model file" if it has no path."""
        return display_path(self.paths[0]) if self.paths else "the model file"

    def without_vocabulary(self) -> GgufModel:
        """A copy without the vocabulary's long lists, to free memory once the tokenizer is built."""
        keys = (key for key in self.metadata if key not in _VOCABULARY_KEYS)
        return replace(self, metadata={key: self.metadata[key] for key in keys})

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The packed bytes of a tensor, uint8 [..., bytes per row]."""
        return _packed_rows(self._tensor(name))

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """The weights of a tensor, float32 in its shape."""
        return _weights(self._tensor(name))

    def rows(self, name: str, begin: int, end: int) -> npt.NDArray[np.float32]:
        """The weights of rows [begin, end) along the first axis, float32."""
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
        """The string `key`."""
        value: str = self._scalar(key, str, "a string", default)
        return value

    def get_list(self, key: str, item: type[_Item], *, default: list[_Item] = _REQUIRED) -> list[_Item]:
        """The list `key`, whose items all have the type `item`: int, float, bool or str."""
        expected = f"a list of {item.__name__}"
        values: list[_Item] = self._scalar(key, list, expected, default)
        other_types = {type(value) for value in values} - {item}
        if other_types:
            raise self._error(key, f"is a list of {other_types.pop().__name__}", expected)
        return values

    def _in_range(self, key: str, kind: type[Any], minimum: Any, maximum: Any, default: Any) -> Any:
        expected = f"an integer from {minimum} to {maximum}" if kind is int else "a finite float"
        if kind is float and math.isfinite(minimum + maximum):
            expected = f"a float from {minimum:g} to {maximum:g}"
        value = self._scalar(key, kind, expected, default)
        # Phrased so that NaN fails the test.
        if key in self.metadata and not (minimum <= value <= maximum and math.isfinite(value)):
            raise self._error(key, f"is {value}", expected)
        return value

    def _scalar(self, key: str, kind: type[Any], expected: str, default: Any) -> Any:
        if key not in self.metadata:
            if default is _REQUIRED:
                raise self._error(key, "is missing", expected)
            return default
        value = self.metadata[key]
        if type(value) is not kind:  # unlike isinstance, rejects a bool where an int is expected
            raise self._error(key, f"is {_TYPE_NAMES[type(value)]}", expected)
        return value

    def _error(self, key: str, problem: str, expected: str) -> BadModelFile:
        return BadModelFile(f"{self.name}: metadata `{key}` {problem}; it must be {expected}")

    def _tensor(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise BadModelFile(f"{self.name}: tensor `{name}` is missing; the file is incomplete")
        return self.tensors[name]


def _packed_rows(tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    form = formats.get(tensor.format)
    row_bytes = tensor.shape[-1] // form.BLOCK_WEIGHTS * form.BLOCK_BYTES
    return read_tensor(tensor).reshape(*tensor.shape[:-1], row_bytes)


def _weights(tensor: TensorInfo) -> npt.NDArray[np.float32]:
    packed = _packed_rows(tensor)
    try:
        return _unpack(packed, tensor)
    except MemoryError:
        raise OutOfMemory(f"not enough memory for the weights of `{tensor.name}` as float32") from None


def _unpack(packed: npt.NDArray[np.uint8], tensor: TensorInfo) -> npt.NDArray[np.float32]:
    """Unpack a few rows at a time, because unpacking needs several times their memory."""
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
