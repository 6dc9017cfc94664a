"""A checkpoint that several workers write: each its share of the tensors, the manifest last, by the first.

    weights-00001-of-00002.safetensors    the first worker's share; whole tensors, every one in one share
    shard-00001-of-00002.json             sha256 of that worker's files, and which tensors lie in them
    weights.safetensors.index.json        which file has which weight, as Hugging Face has it for shards
    manifest.json                         sha256 of all of these

A tensor that FSDP has cut is put together one at a time and kept by whom it falls to, so that any number of
workers, one among them, reads the result. The folder is one that all workers see.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zeropoint.errors import BadInput, DiskError, ZeropointError
from zeropoint.files.atomic_write import fsync_folder
from zeropoint.files.disk_errors import disk_error
from zeropoint.files.disk_space import require_space
from zeropoint.files.hashing import sha256_of
from zeropoint.train.checkpoints.tensor_io import total_bytes, write_json, write_tensors
from zeropoint.train.distributed.dtensor import full_tensor
from zeropoint.train.distributed.process_group import ProcessGroup
from zeropoint.weights.json_file import read_json_object
from zeropoint.weights.run_checkpoint import INDEX

__all__ = ["shard_files", "write_shards"]

_MOST_JSON_BYTES = 64 << 20


def write_shards(
    path: Path,
    parts: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    fmt: int,
    group: ProcessGroup,
) -> None:
    """Write the folder `path`; every worker calls it at the same step.

    parts: "weights", "optimizer", ... -> tensors by name, the same names for all. state: of state.json.
    fmt: the format's number. Raises DiskError for all where one cannot write; nothing is at `path` then.
    """
    beside = path.with_name(f"{path.name}.tmp.0")
    own = {name: _own_share(tensors, group) for name, tensors in parts.items()}
    is_first = group.rank == 0
    _together(group, lambda: _make(beside, path, parts) if is_first else None)
    _together(group, lambda: _write_own(beside, own, group))
    _together(group, lambda: _finish(beside, path, state, fmt, group.n_workers) if is_first else None)


def shard_files(part: str, names: Mapping[str, Any] | set[str]) -> list[str]:
    """Of the names of a checkpoint's files, those with a part's tensors, in order; [] where some miss."""
    if f"{part}.safetensors" in names:
        return [f"{part}.safetensors"]
    found = sorted(n for n in names if n.startswith(f"{part}-") and n.endswith(".safetensors"))
    return found if found and found == [_file(part, i, len(found)) for i in range(len(found))] else []


def _own_share(tensors: Mapping[str, Tensor], group: ProcessGroup) -> dict[str, Tensor]:
    """The tensors that fall to this worker, whole. Who has least so far takes the next, for each the same."""
    loads = [0] * group.n_workers
    own = {}
    for name, tensor in tensors.items():
        owner = loads.index(min(loads))
        loads[owner] += tensor.numel()
        full = full_tensor(tensor)  # every worker must ask, also for what it does not keep
        if owner == group.rank:
            own[name] = full
    return own


def _together(group: ProcessGroup, work: Callable[[], None]) -> None:
    """Do it, wait for all, and fail where one of them failed."""
    failed: ZeropointError | None = None
    try:
        work()
    except ZeropointError as error:
        failed = error
    except OSError as error:
        failed = DiskError(f"a checkpoint cannot be written: {error}")
    if group.any(failed is not None):
        raise failed or DiskError("another worker cannot write its share of the checkpoint; see its message")


def _make(beside: Path, path: Path, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    shutil.rmtree(beside, ignore_errors=True)
    require_space(path, sum(map(total_bytes, parts.values())))
    try:
        beside.mkdir()
    except OSError as error:
        raise disk_error(error, beside) from None


def _write_own(beside: Path, own: Mapping[str, Mapping[str, Tensor]], group: ProcessGroup) -> None:
    if not beside.is_dir():
        raise BadInput(
            f"worker {group.rank} does not see {beside.parent}; give a run folder that all machines share"
        )
    told: dict[str, Any] = {"sha256": {}, "tensors": {}}
    for part, tensors in own.items():
        file = beside / _file(part, group.rank, group.n_workers)
        write_tensors(file, tensors)
        told["sha256"][file.name] = sha256_of(file)
        told["tensors"][file.name] = sorted(tensors)
    write_json(beside / _shard(group.rank, group.n_workers), told)


def _finish(beside: Path, path: Path, state: Mapping[str, Any], fmt: int, n_workers: int) -> None:
    hashes: dict[str, str] = {}
    weight_map: dict[str, str] = {}
    for rank in range(n_workers):
        shard = beside / _shard(rank, n_workers)
        told = read_json_object(shard, _MOST_JSON_BYTES)
        hashes |= told["sha256"] | {shard.name: sha256_of(shard)}
        weights = _file("weights", rank, n_workers)
        weight_map |= dict.fromkeys(told["tensors"][weights], weights)
    write_json(beside / INDEX, {"metadata": {}, "weight_map": weight_map})
    write_json(beside / "state.json", {"format": fmt, **state})
    hashes |= {name: sha256_of(beside / name) for name in (INDEX, "state.json")}
    write_json(beside / "manifest.json", {"format": fmt, "sha256": hashes})
    if path.exists():
        shutil.rmtree(path)  # the same step again, after a restart from an older one
    os.rename(beside, path)
    fsync_folder(path.parent)


def _file(part: str, rank: int, n_workers: int) -> str:
    return f"{part}-{rank + 1:05d}-of-{n_workers:05d}.safetensors"


def _shard(rank: int, n_workers: int) -> str:
    return f"shard-{rank + 1:05d}-of-{n_workers:05d}.json"
