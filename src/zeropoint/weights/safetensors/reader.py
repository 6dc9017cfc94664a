"""Open safetensors files, single or sharded, as a table of tensors that are read on access.

Format: https://huggingface.co/docs/safetensors (`header.py` validates the header).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zeropoint import formats
from zeropoint.errors import BadModelFile, DiskError, OutOfMemory
from zeropoint.files.paths import display_path
from zeropoint.weights.json_file import open_regular, read_json_object
from zeropoint.weights.read_only_formats import READ_ONLY, unpack
from zeropoint.weights.safetensors.header import DTYPE_BITS, header_bytes, parse_header
from zeropoint.weights.stored_tensors import TensorInfo, read_tensor

__all__ = [
    "INDEX_NAME",
    "SINGLE_NAME",
    "SafetensorsModel",
    "open_safetensors",
    "open_sharded",
    "path_in_folder",
]

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_INDEX_BYTES = 64 << 20  # the largest published index has about 9 MB
MAX_SHARDS = 4096

_READABLE = ("F32", "F16", "BF16", *READ_ONLY)


@dataclass(frozen=True, eq=False)
class SafetensorsModel:
    """Tensors of one or several files; a TensorInfo's `format` is its dtype, such as F32 or F8_E4M3."""

    paths: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def name(self) -> str:
        """The file's name for messages; for shards, their folder."""
        return display_path(self.paths[0] if len(self.paths) == 1 else self.paths[0].parent)

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, uint8 [..., bytes per row]."""
        return _rows(self._tensor(name))

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """The weights of a tensor, float32 in its shape. Raises BadModelFile for other dtypes."""
        return _weights(self._tensor(name))

    def rows(self, name: str, begin: int, end: int) -> npt.NDArray[np.float32]:
        """The weights of rows [begin, end) along the first axis, float32."""
        return _weights(self._tensor(name).rows(begin, end))

    def _tensor(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise BadModelFile(f"{self.name}: tensor {name!a:.80} is missing; the file is incomplete")
        return self.tensors[name]


def _rows(tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    if not tensor.shape:
        return read_tensor(tensor)
    row_bytes = tensor.shape[-1] * DTYPE_BITS[tensor.format] // 8
    return read_tensor(tensor).reshape(*tensor.shape[:-1], row_bytes)


def _weights(tensor: TensorInfo) -> npt.NDArray[np.float32]:
    if tensor.format not in _READABLE:
        raise BadModelFile(
            f"{display_path(tensor.path)}: tensor {tensor.name!a:.80} is {tensor.format}; "
            f"weights must be one of {', '.join(_READABLE)}"
        )
    packed = _rows(tensor)
    try:
        if tensor.format in READ_ONLY:
            return unpack(tensor.format, packed).reshape(tensor.shape)
        return formats.get(tensor.format).unpack(packed).reshape(tensor.shape)
    except MemoryError:
        raise OutOfMemory(f"not enough memory for the weights of `{tensor.name}` as float32") from None


def open_safetensors(path: Path) -> SafetensorsModel:
    """Open one file. Raises BadModelFile for an invalid file, DiskError."""
    name = display_path(path)
    try:
        with open_regular(path) as file:
            file_bytes = os.fstat(file.fileno()).st_size
            n = header_bytes(file.read(8), file_bytes, name)
            header = file.read(n)
    except OSError as error:
        raise DiskError(f"cannot read {name}: {error.strerror}") from None
    if len(header) != n:
        raise DiskError(f"{name} changed or was truncated while it was being read; fetch it again")
    entries, metadata = parse_header(header, file_bytes - 8 - n, name)
    tensors = {
        key: TensorInfo(key, entry.dtype, entry.shape, 8 + n + entry.begin, entry.end - entry.begin, path)
        for key, entry in entries.items()
    }
    return SafetensorsModel((path,), tensors, metadata)


def open_sharded(index: Path) -> SafetensorsModel:
    """Open the shards that an index lists. Raises BadModelFile where index and shards disagree."""
    name = display_path(index)
    weight_map = read_json_object(index, MAX_INDEX_BYTES).get("weight_map")
    is_map = isinstance(weight_map, dict) and {type(shard) for shard in weight_map.values()} == {str}
    if not isinstance(weight_map, dict) or not is_map:
        raise BadModelFile(f"{name}: `weight_map` must map tensor names to file names")
    shards = sorted(set(weight_map.values()))
    if len(shards) > MAX_SHARDS:
        raise BadModelFile(f"{name} lists {len(shards)} shards; it may list at most {MAX_SHARDS}")
    opened = {shard: open_safetensors(_shard_path(index, shard)) for shard in shards}
    for key, shard in weight_map.items():
        if key not in opened[shard].tensors:
            raise BadModelFile(f"{name}: tensor {key!a:.80} is not in {shard!a:.80}, contrary to the index")
    for shard, model in opened.items():
        for key in model.tensors:
            if weight_map.get(key) != shard:
                raise BadModelFile(f"{name}: tensor {key!a:.80} of {shard!a:.80} is not in the index")
    paths = tuple(model.paths[0] for model in opened.values())
    tensors = {key: info for model in opened.values() for key, info in model.tensors.items()}
    return SafetensorsModel(paths, tensors, opened[shards[0]].metadata)


def path_in_folder(folder: Path, name: str) -> Path:
    """The path of a file in a model's folder. Rejects a link that leaves the folder or its hub cache.

    The Hugging Face hub cache stores files in `blobs` and links to them from `snapshots`, so links within
    that cache are legitimate.
    """
    path = folder / name
    if not os.path.lexists(path):
        raise BadModelFile(f"{display_path(path)} is missing; fetch it again")
    real, home = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    # .../models--owner--name/snapshots/<revision>
    if home.parent.name == "snapshots" and home.parents[1].name.startswith("models--"):
        home = home.parents[2]
    if not real.is_relative_to(home):
        raise BadModelFile(
            f"{display_path(path)} links to a file outside {display_path(home)}; copy that file here"
        )
    return path


def _shard_path(index: Path, shard: str) -> Path:
    if not shard.endswith(".safetensors") or shard != os.path.basename(shard) or "\0" in shard:
        raise BadModelFile(
            f"{display_path(index)}: the shard {shard!a:.80} must name a .safetensors file next to the index"
        )
    return path_in_folder(index.parent, shard)
