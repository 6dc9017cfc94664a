"""Sharded checkpoints: each worker writes some of the tensors, and rank 0 writes the manifest last.

    weights-00001-of-00002.safetensors    rank 0's tensors; every tensor is complete and in one file
    shard-00001-of-00002.json             sha256 of that worker's files, and the tensors in each
    weights.safetensors.index.json        the file of each weight, in Hugging Face's format
    manifest.json                         sha256 of all of these

Tensors sharded by FSDP are gathered one at a time and kept by the worker that writes them, so that any number
of workers can load the result. All workers must see the folder under the same path.
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

_MAX_JSON_BYTES = 64 << 20


def write_shards(
    path: Path,
    parts: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    fmt: int,
    group: ProcessGroup,
) -> None:
    """Write the checkpoint folder `path`; every worker calls it at the same step.

    parts: "weights", "optimizer", ... -> tensors by name, the same names on all workers. state: content of
    state.json. fmt: format number. If one worker cannot write, all raise DiskError and `path` is not created.
    """
    temporary = path.with_name(f"{path.name}.tmp.0")
    own = {name: _own_tensors(tensors, group) for name, tensors in parts.items()}
    is_first = group.rank == 0
    _on_all(group, lambda: _create(temporary, path, parts) if is_first else None)
    _on_all(group, lambda: _write_own(temporary, own, group))
    _on_all(group, lambda: _finish(temporary, path, state, fmt, group.n_workers) if is_first else None)


def shard_files(part: str, names: Mapping[str, Any] | set[str]) -> list[str]:
    """The files that hold a part's tensors, in order, among the names of a checkpoint.

    [] if some are missing.
    """
    if f"{part}.safetensors" in names:
        return [f"{part}.safetensors"]
    shards = sorted(n for n in names if n.startswith(f"{part}-") and n.endswith(".safetensors"))
    return shards if shards and shards == [_file(part, i, len(shards)) for i in range(len(shards))] else []


def _own_tensors(tensors: Mapping[str, Tensor], group: ProcessGroup) -> dict[str, Tensor]:
    """The complete tensors that this worker writes.

    Each goes to the worker with the fewest elements so far.
    """
    loads = [0] * group.n_workers
    own = {}
    for name, tensor in tensors.items():
        owner = loads.index(min(loads))
        loads[owner] += tensor.numel()
        full = full_tensor(tensor)  # a collective call: every worker takes part
        if owner == group.rank:
            own[name] = full
    return own


def _on_all(group: ProcessGroup, work: Callable[[], None]) -> None:
    """Run `work`, wait for all workers, and raise if it failed on any of them."""
    failed: ZeropointError | None = None
    try:
        work()
    except ZeropointError as error:
        failed = error
    except OSError as error:
        failed = DiskError(f"a checkpoint cannot be written: {error}")
    if group.any(failed is not None):
        raise failed or DiskError("another worker cannot write its shard of the checkpoint; see its message")


def _create(temporary: Path, path: Path, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    shutil.rmtree(temporary, ignore_errors=True)
    require_space(path, sum(map(total_bytes, parts.values())))
    try:
        temporary.mkdir()
    except OSError as error:
        raise disk_error(error, temporary) from None


def _write_own(temporary: Path, own: Mapping[str, Mapping[str, Tensor]], group: ProcessGroup) -> None:
    if not temporary.is_dir():
        raise BadInput(
            f"worker {group.rank} cannot see {temporary.parent}; use a run folder that all machines share"
        )
    content: dict[str, Any] = {"sha256": {}, "tensors": {}}
    for part, tensors in own.items():
        file = temporary / _file(part, group.rank, group.n_workers)
        write_tensors(file, tensors)
        content["sha256"][file.name] = sha256_of(file)
        content["tensors"][file.name] = sorted(tensors)
    write_json(temporary / _shard(group.rank, group.n_workers), content)


def _finish(temporary: Path, path: Path, state: Mapping[str, Any], fmt: int, n_workers: int) -> None:
    hashes: dict[str, str] = {}
    weight_map: dict[str, str] = {}
    for rank in range(n_workers):
        shard = temporary / _shard(rank, n_workers)
        content = read_json_object(shard, _MAX_JSON_BYTES)
        hashes |= content["sha256"] | {shard.name: sha256_of(shard)}
        weights = _file("weights", rank, n_workers)
        weight_map |= dict.fromkeys(content["tensors"][weights], weights)
    write_json(temporary / INDEX, {"metadata": {}, "weight_map": weight_map})
    write_json(temporary / "state.json", {"format": fmt, **state})
    hashes |= {name: sha256_of(temporary / name) for name in (INDEX, "state.json")}
    write_json(temporary / "manifest.json", {"format": fmt, "sha256": hashes})
    if path.exists():
        shutil.rmtree(path)  # this step was saved before, and the run restarted from an older checkpoint
    os.rename(temporary, path)
    fsync_folder(path.parent)


def _file(part: str, rank: int, n_workers: int) -> str:
    return f"{part}-{rank + 1:05d}-of-{n_workers:05d}.safetensors"


def _shard(rank: int, n_workers: int) -> str:
    return f"shard-{rank + 1:05d}-of-{n_workers:05d}.json"
