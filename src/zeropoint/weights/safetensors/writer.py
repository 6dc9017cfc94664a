"""Write safetensors files, single or sharded, as a stream: one tensor in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.safetensors.header import DTYPE_BITS
from zeropoint.weights.safetensors.reader import INDEX_NAME, SINGLE_NAME

__all__ = ["SHARD_BYTES", "write_safetensors", "write_shards"]

SHARD_BYTES = 5_000_000_000  # the default of Hugging Face's writers


def write_shards(
    folder: Path,
    tensors: Iterable[PackedTensor],
    *,
    shard_bytes: int = SHARD_BYTES,
    on_write: Callable[[int], None] = lambda n: None,
) -> list[Path]:
    """Write `model.safetensors` into a folder, or shards of at most shard_bytes and an index.

    A tensor larger than shard_bytes gets its own shard. on_write: called with the bytes of each chunk.
    Returns the paths of the files with tensors. Raises DiskError, and the errors of reading and packing.
    """
    shards = _shards(list(tensors), shard_bytes)
    if len(shards) == 1:
        write_safetensors(folder / SINGLE_NAME, shards[0], on_write=on_write)
        return [folder / SINGLE_NAME]
    weight_map: dict[str, str] = {}
    paths: list[Path] = []
    for i, shard in enumerate(shards, 1):
        path = folder / f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(path, shard, on_write=on_write)
        weight_map |= {tensor.name: path.name for tensor in shard}
        paths.append(path)
    total = sum(tensor.n_bytes for shard in shards for tensor in shard)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    with write_file(folder / INDEX_NAME) as file:
        file.write(json.dumps(index, indent=2).encode())
    return paths


def write_safetensors(
    path: Path, tensors: Sequence[PackedTensor], *, on_write: Callable[[int], None] = lambda n: None
) -> None:
    """Write one file and flush it to disk. Raises DiskError, and the errors of reading and packing."""
    # Widest dtypes first, as in the reference implementation, so that every tensor is aligned.
    ordered = sorted(tensors, key=lambda tensor: -DTYPE_BITS[tensor.format])
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}  # transformers accepts no other format
    at = 0
    for tensor in ordered:
        offsets = [at, at + tensor.n_bytes]
        header[tensor.name] = {"dtype": tensor.format, "shape": list(tensor.shape), "data_offsets": offsets}
        at += tensor.n_bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with write_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            for chunk in tensor.chunks():
                file.write(chunk.data)
                on_write(chunk.nbytes)
        if file.tell() != 8 + len(text) + at:
            raise BadInput(f"{path.name} has {file.tell()} bytes instead of {8 + len(text) + at}")


def _shards(tensors: list[PackedTensor], shard_bytes: int) -> list[list[PackedTensor]]:
    shards: list[list[PackedTensor]] = [[]]
    used = 0
    for tensor in tensors:
        if shards[-1] and used + tensor.n_bytes > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(tensor)
        used += tensor.n_bytes
    return shards
