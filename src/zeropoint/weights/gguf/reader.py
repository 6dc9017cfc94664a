"""Open GGUF files, split models included (GGUF specification, versions 2 and 3)."""

from __future__ import annotations

import os
from pathlib import Path

from zeropoint import _native
from zeropoint.errors import BadModelFile, OutOfMemory
from zeropoint.files.paths import display_path
from zeropoint.weights.gguf.model import GgufModel, Metadata
from zeropoint.weights.gguf.shards import join_shards, shard_paths
from zeropoint.weights.stored_tensors import TensorInfo

__all__ = ["HeaderTooShort", "open_gguf", "parse_header"]


class HeaderTooShort(BadModelFile):
    """The bytes passed to `parse_header` end before the header does; retry with `required_bytes`."""

    def __init__(self, message: str, required_bytes: int) -> None:
        super().__init__(message)
        self.required_bytes = required_bytes


def open_gguf(path: str | os.PathLike[str]) -> GgufModel:
    """Open the model at `path`; for any shard `-0000I-of-0000N.gguf`, all N shards as one model.

    Raises BadModelFile for an invalid GGUF file, DiskError if the file changes during the read.
    """
    model = _open(Path(path))
    paths = shard_paths(Path(path), model)
    if len(paths) == 1:
        return model
    return join_shards([_open(shard) for shard in paths])


def parse_header(head: bytes, file_bytes: int, name: str = "the model file") -> GgufModel:
    """Parse the first bytes of a file of `file_bytes`, to inspect a model before downloading it.

    Raises HeaderTooShort if `head` ends before the header does. The result cannot read tensors.
    """
    try:
        header = _native.gguf_parse(head, file_bytes)
    except BadModelFile as error:
        raise BadModelFile(f"{name}: {error}") from None
    if isinstance(header, int):
        message = f"{name}: the header is longer than {len(head)} bytes; pass at least {header}"
        raise HeaderTooShort(message, header)
    return _model(header, ())


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
