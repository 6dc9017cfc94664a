"""Safetensors files, also in shards, as a table of tensors; each read from the disk when it is asked for.

Tensor bytes are read, not mapped, so that a file which shrinks meanwhile is an error and not a signal.
Format: https://huggingface.co/docs/safetensors (the header's checks are in `safetensors_header.py`).
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
from zeropoint.weights.gguf.reader import TensorInfo, read_tensor
from zeropoint.weights.json_file import open_regular, read_object
from zeropoint.weights.safetensors.header import header_bytes, parse_header

__all__ = ["INDEX_NAME", "SINGLE_NAME", "SafetensorsModel", "inside", "open_safetensors", "open_sharded"]

SINGLE_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_INDEX_BYTES = 64 << 20  # the largest published one has about 9 MB
MAX_SHARDS = 4096

_READABLE = ("F32", "F16", "BF16")


@dataclass(frozen=True, eq=False)
class SafetensorsModel:
    """Tensors of one or several files; the `format` of a TensorInfo is the dtype, F32, F16 or BF16."""

    paths: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def name(self) -> str:
        """The file for messages; of shards, their folder."""
        return display_path(self.paths[0] if len(self.paths) == 1 else self.paths[0].parent)

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, uint8 [..., bytes of a row]."""
        return _rows(self._tensor(name))

    def array(self, name: str) -> npt.NDArray[np.float32]:
        """The weights of a tensor, float32 in its shape. Only F32, F16 and BF16 are weights."""
        return _weights(self._tensor(name))

    def rows(self, name: str, begin: int, end: int) -> npt.NDArray[np.float32]:
        """The weights of the rows [begin, end) along the first axis, float32."""
        return _weights(self._tensor(name).rows(begin, end))

    def _tensor(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise BadModelFile(f"{self.name}: tensor {name!a:.80} is missing; the file is not complete")
        return self.tensors[name]


def _rows(tensor: TensorInfo) -> npt.NDArray[np.uint8]:
    if not tensor.shape:
        return read_tensor(tensor)
    form = formats.get(tensor.format)
    return read_tensor(tensor).reshape(*tensor.shape[:-1], tensor.shape[-1] * form.BLOCK_BYTES)


def _weights(tensor: TensorInfo) -> npt.NDArray[np.float32]:
    if tensor.format not in _READABLE:
        raise BadModelFile(
            f"{display_path(tensor.path)}: tensor {tensor.name!a:.80} is {tensor.format}; "
            "weights must be F32, F16 or BF16"
        )
    packed = _rows(tensor)
    try:
        return formats.get(tensor.format).unpack(packed).reshape(tensor.shape)
    except MemoryError:
        raise OutOfMemory(f"not enough memory for the weights of `{tensor.name}` as float32") from None


def open_safetensors(path: Path) -> SafetensorsModel:
    """The tensors of one file. Raises BadModelFile for a file that is not sound, DiskError."""
    name = display_path(path)
    try:
        with open_regular(path) as file:
            file_bytes = os.fstat(file.fileno()).st_size
            n = header_bytes(file.read(8), file_bytes, name)
            header = file.read(n)
    except OSError as error:
        raise DiskError(f"cannot read {name}: {error.strerror}") from None
    if len(header) != n:
        raise DiskError(f"{name} changed or was truncated while it was read; fetch it again")
    entries, metadata = parse_header(header, file_bytes - 8 - n, name)
    tensors = {
        key: TensorInfo(key, entry.dtype, entry.shape, 8 + n + entry.begin, entry.end - entry.begin, path)
        for key, entry in entries.items()
    }
    return SafetensorsModel((path,), tensors, metadata)


def open_sharded(index: Path) -> SafetensorsModel:
    """The tensors of the shards that an index lists, each where the index says. Raises BadModelFile."""
    name = display_path(index)
    listed = read_object(index, MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(listed, dict) or not listed or {type(shard) for shard in listed.values()} != {str}:
        raise BadModelFile(f"{name}: `weight_map` must map tensor names to file names")
    shards = sorted(set(listed.values()))
    if len(shards) > MAX_SHARDS:
        raise BadModelFile(f"{name} lists {len(shards)} shards; it may list at most {MAX_SHARDS}")
    opened = {shard: open_safetensors(_shard_path(index, shard)) for shard in shards}
    for key, shard in listed.items():
        if key not in opened[shard].tensors:
            raise BadModelFile(f"{name}: tensor {key!a:.80} is not in {shard!a:.80}, where the index has it")
    for shard, model in opened.items():
        for key in model.tensors:
            if listed.get(key) != shard:
                raise BadModelFile(f"{name}: tensor {key!a:.80} of {shard!a:.80} is not in the index")
    paths = tuple(model.paths[0] for model in opened.values())
    tensors = {key: info for model in opened.values() for key, info in model.tensors.items()}
    return SafetensorsModel(paths, tensors, opened[shards[0]].metadata)


def inside(folder: Path, name: str) -> Path:
    """The path of a file in a model's folder. A link that leads out of it, or of its hub cache, is refused.

    The hub's cache keeps files in `blobs` beside `snapshots`, which may link on to a store that models
    share: links within that cache are what they should be.
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
            f"{display_path(path)} is a link that leaves {display_path(home)}; copy the file into the folder"
        )
    return path


def _shard_path(index: Path, shard: str) -> Path:
    if not shard.endswith(".safetensors") or shard != os.path.basename(shard) or "\0" in shard:
        raise BadModelFile(
            f"{display_path(index)}: the shard {shard!a:.80} must be the name of a .safetensors file "
            "beside it"
        )
    return inside(index.parent, shard)
