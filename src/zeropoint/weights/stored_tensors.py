"""Tensors as a file stores them: location, shape and format, and how to read their bytes.

Every reader (GGUF, safetensors, pickle) returns an object that satisfies `StoredTensors`; `mapping` turns it
into our weights. Tensor bytes are read, not memory-mapped: a file that shrinks during the read then raises an
error instead of SIGBUS. This module does not import numpy, because the native engine reads weights itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zeropoint.errors import BadInput, DiskError, OutOfMemory
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["StoredTensors", "TensorInfo", "format_names", "read_tensor"]

_MAX_NAMES = 5  # tensor names listed in an error message


class StoredTensors(Protocol):
    """One or more opened files that hold tensors: `GgufModel`, `SafetensorsModel`, `PickledModel`."""

    @property
    def name(self) -> str: ...

    @property
    def tensors(self) -> Mapping[str, Any]: ...

    def read(self, name: str) -> npt.NDArray[np.uint8]: ...

    def array(self, name: str) -> npt.NDArray[np.float32]: ...

    def rows(self, name: str, begin: int, end: int) -> npt.NDArray[np.float32]: ...


@frozen
class TensorInfo:
    """Location and layout of a stored tensor.

    shape: torch order, last axis contiguous. offset, n_bytes: its byte range within the file `path`.
    """

    name: str
    format: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int
    path: Path

    def rows(self, begin: int, end: int) -> TensorInfo:
        """The sub-tensor of rows [begin, end) along the first axis; a scalar counts as one row.

        Raises BadInput for rows that the tensor does not have.
        """
        n_rows = self.shape[0] if self.shape else 1
        if not 0 <= begin <= end <= n_rows:
            raise BadInput(
                f"{display_path(self.path)}: tensor {self.name!a:.80} has {n_rows} rows, not rows {begin} to "
                f"{end}; give rows that it has"
            )
        row_bytes = self.n_bytes // max(1, n_rows)
        shape = (end - begin, *self.shape[1:]) if self.shape else ()
        offset = self.offset + begin * row_bytes
        return replace(self, shape=shape, offset=offset, n_bytes=(end - begin) * row_bytes)


def read_tensor(tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    """Read a tensor's bytes: uint8 [n_bytes]. Raises DiskError if the file is too short, OutOfMemory."""
    import numpy as np

    if tensor.path == Path():
        raise BadInput(f"tensor `{tensor.name}` cannot be read: only the file's header is available")
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
        raise DiskError(f"{path} changed or was truncated while it was being read; fetch it again")
    return packed


def format_names(names: Iterable[str]) -> str:
    """Tensor names for an error message: sorted, at most five, with control characters escaped."""
    names = sorted(names)
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(f"{name!a:.80}" for name in names[:_MAX_NAMES]) + more
