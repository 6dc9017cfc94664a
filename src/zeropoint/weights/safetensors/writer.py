"""Safetensors files, one or in shards, written as a stream: a tensor is read, packed and gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.weights.packing import Packed
from zeropoint.weights.safetensors.header import BYTES_OF
from zeropoint.weights.safetensors.reader import INDEX_NAME, SINGLE_NAME

__all__ = ["SHARD_BYTES", "write_safetensors", "write_shards"]

SHARD_BYTES = 5_000_000_000  # what the hub's own writers take


def write_shards(
    folder: Path,
    tensors: Iterable[Packed],
    *,
    shard_bytes: int = SHARD_BYTES,
    wrote: Callable[[int], None] = lambda n: None,
) -> list[Path]:
    """Write `model.safetensors` into a folder, or shards of at most shard_bytes and their index.

    A tensor larger than shard_bytes has a shard of its own. wrote: told of bytes as they are written.
    Returns the files with tensors. Raises DiskError, and what reading and packing raise.
    """
    shards = _shards(list(tensors), shard_bytes)
    if len(shards) == 1:
        write_safetensors(folder / SINGLE_NAME, shards[0], wrote=wrote)
        return [folder / SINGLE_NAME]
    weight_map: dict[str, str] = {}
    paths: list[Path] = []
    for i, shard in enumerate(shards, 1):
        path = folder / f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(path, shard, wrote=wrote)
        weight_map |= {tensor.name: path.name for tensor in shard}
        paths.append(path)
    total = sum(tensor.n_bytes for shard in shards for tensor in shard)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    with write_file(folder / INDEX_NAME) as file:
        file.write(json.dumps(index, indent=2).encode())
    return paths


def write_safetensors(
    path: Path, tensors: Sequence[Packed], *, wrote: Callable[[int], None] = lambda n: None
) -> None:
    """Write one file, flushed to the disk. Raises DiskError, and what reading and packing raise."""
    # Wider types first, as the reference writes them, so that every tensor lies aligned.
    ordered = sorted(tensors, key=lambda tensor: -BYTES_OF[tensor.format])
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}  # transformers reads no other
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
                wrote(chunk.nbytes)
        if file.tell() != 8 + len(text) + at:
            raise BadInput(f"{path.name} became {file.tell()} bytes instead of {8 + len(text) + at}")


def _shards(tensors: list[Packed], shard_bytes: int) -> list[list[Packed]]:
    shards: list[list[Packed]] = [[]]
    used = 0
    for tensor in tensors:
        if shards[-1] and used + tensor.n_bytes > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(tensor)
        used += tensor.n_bytes
    return shards
