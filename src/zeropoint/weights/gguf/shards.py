"""Split GGUF models, `NAME-00001-of-0000N.gguf`: find the shards and join them (llama.cpp's gguf-split).

Shard names derive only from the given path, so a file cannot redirect the reader to another folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from zeropoint.errors import BadModelFile
from zeropoint.weights.gguf.model import GgufModel

__all__ = ["join_shards", "shard_paths"]

MAX_SHARDS = 512  # the largest published models have about 100

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII | re.DOTALL)
# Keys that identify the model; later shards may omit them.
_IDENTITY = ("general.architecture", "general.name", "general.basename")


def shard_paths(path: Path, shard: GgufModel) -> list[Path]:
    """Paths of all shards of the model that `shard`, opened from `path`, belongs to.

    `[path]` for a model in one file. Raises BadModelFile if a shard is missing or misnamed.
    """
    count = shard.get_int("split.count", 0, MAX_SHARDS, default=1)
    match = _NAME.fullmatch(path.name)
    if count <= 1 and (match is None or int(match["count"]) == 1):
        return [path]
    if match is None:
        raise BadModelFile(
            f"{shard.name} is one of {count} shards; its name must end in -00001-of-{count:05d}.gguf"
        )
    if (name_count := int(match["count"])) != count:
        raise BadModelFile(
            f"{shard.name}: metadata `split.count` is {count}; according to the file name it must be "
            f"{name_count}"
        )
    paths = [path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf") for i in range(1, count + 1)]
    for i, other in enumerate(paths, 1):
        if not other.exists():
            raise BadModelFile(
                f"{shard.name}: shard {i} of {count} is missing; fetch ...-{i:05d}-of-{count:05d}.gguf "
                "into the same folder"
            )
    return paths


def join_shards(shards: Sequence[GgufModel]) -> GgufModel:
    """Join shards into one model: metadata of the first, tensors of all. Raises BadModelFile on conflict."""
    first = shards[0]
    tensors = dict(first.tensors)
    for i, shard in enumerate(shards):
        if (number := shard.get_int("split.no", 0, MAX_SHARDS)) != i:
            raise BadModelFile(
                f"{shard.name}: metadata `split.no` is {number}; according to the file name it must be {i}"
            )
        if (count := shard.get_int("split.count", 1, MAX_SHARDS)) != len(shards):
            raise BadModelFile(f"{shard.name}: metadata `split.count` is {count}; it must be {len(shards)}")
        for key in _IDENTITY:
            if key in shard.metadata and shard.metadata[key] != first.metadata.get(key):
                raise BadModelFile(
                    f"{shard.name} belongs to another model than {first.name}: `{key}` differs"
                )
        if i > 0 and (duplicates := tensors.keys() & shard.tensors.keys()):
            raise BadModelFile(
                f"{shard.name}: tensor {min(duplicates)!a:.64} is also in another shard of the model"
            )
        tensors.update(shard.tensors)
    declared = first.get_int("split.tensors.count", 0, 2**31 - 1, default=len(tensors))
    if declared != len(tensors):
        raise BadModelFile(
            f"{first.name}: metadata `split.tensors.count` is {declared}; the shards hold {len(tensors)}"
        )
    paths = tuple(path for shard in shards for path in shard.paths)
    return GgufModel(paths, first.metadata, tensors, sum(shard.file_bytes for shard in shards))
