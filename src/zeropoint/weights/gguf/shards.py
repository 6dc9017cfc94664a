"""A model in parts, `NAME-00001-of-0000N.gguf`: finds the parts and joins them (llama.cpp's gguf-split).

Names come from the path that was given and from nowhere else, so no file can send us to another folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.errors import BadModelFile

if TYPE_CHECKING:
    from zeropoint.weights.gguf.reader import GgufModel

__all__ = ["join", "part_paths"]

MAX_PARTS = 512  # the largest published models have about 100

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.ASCII | re.DOTALL)
# What tells one model from another, where a later part says it at all.
_IDENTITY = ("general.architecture", "general.name", "general.basename")


def part_paths(path: Path, part: GgufModel) -> list[Path]:
    """All parts of the model that `part`, opened from `path`, belongs to; `[path]` if it is whole."""
    count = part.get_int("split.count", 0, MAX_PARTS, default=1)
    match = _NAME.fullmatch(path.name)
    if count <= 1 and (match is None or int(match["count"]) == 1):
        return [path]
    if match is None:
        raise BadModelFile(
            f"{part.name} is one of {count} parts; its name must end in -00001-of-{count:05d}.gguf"
        )
    if (named := int(match["count"])) != count:
        raise BadModelFile(
            f"{part.name}: metadata `split.count` is {count}; by the file's name it must be {named}"
        )
    paths = [path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf") for i in range(1, count + 1)]
    for i, other in enumerate(paths, 1):
        if not other.exists():
            raise BadModelFile(
                f"{part.name}: part {i} of {count} is missing; fetch ...-{i:05d}-of-{count:05d}.gguf "
                "into the same folder"
            )
    return paths


def join(parts: Sequence[GgufModel]) -> GgufModel:
    """One model: the metadata of the first part, the tensors of all. BadModelFile if the parts clash."""
    first = parts[0]
    tensors = dict(first.tensors)
    for i, part in enumerate(parts):
        if (number := part.get_int("split.no", 0, MAX_PARTS)) != i:
            raise BadModelFile(
                f"{part.name}: metadata `split.no` is {number}; by the file's name it must be {i}"
            )
        if (count := part.get_int("split.count", 1, MAX_PARTS)) != len(parts):
            raise BadModelFile(f"{part.name}: metadata `split.count` is {count}; it must be {len(parts)}")
        for key in _IDENTITY:
            if key in part.metadata and part.metadata[key] != first.metadata.get(key):
                raise BadModelFile(f"{part.name} is of another model than {first.name}: `{key}` differs")
        if i > 0 and (twice := tensors.keys() & part.tensors.keys()):
            raise BadModelFile(f"{part.name}: tensor {min(twice)!a:.64} is also in another part of the model")
        tensors.update(part.tensors)
    declared = first.get_int("split.tensors.count", 0, 2**31 - 1, default=len(tensors))
    if declared != len(tensors):
        raise BadModelFile(
            f"{first.name}: metadata `split.tensors.count` is {declared}; the parts hold {len(tensors)}"
        )
    paths = tuple(path for part in parts for path in part.paths)
    return type(first)(paths, first.metadata, tensors, sum(part.file_bytes for part in parts))
