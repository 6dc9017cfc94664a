"""Checkpoints: whole or not there, with hashes, in forms that run no code when they are read.

    checkpoints/step-000120/weights.safetensors     the model: its moving average, where a run keeps one
                            raw.safetensors         and then the weights that training goes on from
                            optimizer.safetensors   what the optimizer remembers of each weight
                            state.json              numbers: step, tokens, best loss, seed, data position
                            manifest.json           sha256 of each of these, written last
    latest, best                                    names of folders, each replaced in one step

Several workers write a share of the tensors each (`checkpoint_shards.py`).
A folder is written beside, flushed and renamed (`files/atomic_write.py`), so that a killed run leaves the
last one. What is drawn at random depends on the seed and the step alone: these two are the generators' state.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.atomic_write import atomic_folder, replace_file
from zeropoint.files.hashing import sha256_of
from zeropoint.train.checkpoints.sharded import shard_files, write_shards
from zeropoint.train.checkpoints.tensor_io import read_tensors, total_bytes, write_json, write_tensors
from zeropoint.train.distributed.dtensor import shard_like
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from zeropoint.weights.json_file import read_json_object

__all__ = [
    "FORMAT",
    "SavedCheckpoint",
    "TrainingState",
    "list_checkpoints",
    "load",
    "load_newest",
    "remove_leftovers",
    "resolve_pointer",
    "restore",
    "save",
]

FORMAT = 1
_NAME = re.compile(r"step-([0-9]{6,})")
_LEFTOVER = re.compile(r"(?:step-[0-9]{6,}|latest|best|[a-z]+\.(?:json|toml))\.tmp\.[0-9]+")
_MOST_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class TrainingState:
    """Where a run is. step: done; the next batch is that number, from 0, and the next draw the one after.

    losses in nats; best_*: of validation; n_worse: evaluations since. first_loss: of step 1.
    seconds: of training. config_sha256: of what may not change between the parts of a run.
    """

    step: int
    n_tokens: int
    seed: int
    config_sha256: str
    seconds: float = 0.0
    first_loss: float | None = None
    train_loss: float | None = None
    validation_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    n_worse: int = 0


@dataclass(frozen=True, eq=False)
class SavedCheckpoint:
    """One that was read, and whose hashes are right."""

    path: Path
    state: TrainingState
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    raw: Mapping[str, Tensor] | None


def save(
    run: Path,
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor] | None = None,
    *,
    is_best: bool = False,
    max_checkpoints: int = 2,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Path:
    """Write a checkpoint of a run and point to it; then remove all but the newest `keep` and the best.

    Every worker of a team calls it at the same step, and each writes its share (`checkpoint_shards.py`).
    Raises DiskError; whatever was there before is then still there.
    """
    weights: dict[str, Tensor] = dict(model.named_parameters())
    parts = {"weights": weights, "optimizer": _remembered(model, optimizer)}
    if average is not None:
        parts |= {"weights": dict(average), "raw": weights}
    path = run / "checkpoints" / _name(state.step)
    if group.n_workers > 1:
        write_shards(path, parts, asdict(state), FORMAT, group)
    else:
        with atomic_folder(path, need_bytes=sum(map(total_bytes, parts.values()))) as folder:
            for name, tensors in parts.items():
                write_tensors(folder / f"{name}.safetensors", tensors)
            write_json(folder / "state.json", {"format": FORMAT, **asdict(state)})
            hashes = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
            write_json(folder / "manifest.json", {"format": FORMAT, "sha256": hashes})
    if group.rank:
        return path
    _point(run, "latest", path)
    if is_best:
        _point(run, "best", path)
    _prune(run, max_checkpoints)
    return path


def list_checkpoints(run: Path) -> list[Path]:
    """The folders of a run's checkpoints, the newest first, sound or not."""
    folder = run / "checkpoints"
    found = [p for p in folder.iterdir() if _NAME.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: -int(path.name.removeprefix("step-")))


def resolve_pointer(run: Path, pointer: str) -> Path | None:
    """The checkpoint that `latest` or `best` names, or None where it names none that is there."""
    try:
        name = (run / pointer).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    path = run / "checkpoints" / name
    return path if _NAME.fullmatch(name) and path.is_dir() else None


def load_newest(run: Path) -> tuple[SavedCheckpoint, list[str]]:
    """The newest sound checkpoint, and a sentence for each newer one that is damaged.

    Raises BadInput naming them where none is sound, or where there is none at all.
    """
    damaged: list[str] = []
    for path in list_checkpoints(run):
        try:
            return load(path), damaged
        except BadModelFile as error:
            damaged.append(str(error))
    if damaged:
        raise BadInput(f"no checkpoint of {run} can be used: {'; '.join(damaged)}; or start a new run")
    raise BadInput(f"{run} holds no checkpoint to go on from; start a run there first")


def load(path: Path) -> SavedCheckpoint:
    """Read a checkpoint. Raises BadModelFile for a damaged one, BadInput for another version's, DiskError.

    Another version's is not passed over: the run would then write over what it learnt.
    """
    manifest = read_json_object(path / "manifest.json", _MOST_JSON_BYTES)
    if manifest.get("format") != FORMAT:
        raise BadInput(
            f"{path} has format {str(manifest.get('format'))[:20]}, and this zeropoint reads {FORMAT}; "
            "install the version that wrote it"
        )
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or not (
        shard_files("weights", hashes) and shard_files("optimizer", hashes) and "state.json" in hashes
    ):
        raise BadModelFile(f"{path / 'manifest.json'} lists no hashes of its files; use another checkpoint")
    for name, expected in hashes.items():
        file = path / Path(name).name
        if not file.is_file():
            raise BadModelFile(f"{file} is missing; use the checkpoint before")
        if sha256_of(file) != expected:
            raise BadModelFile(
                f"{file} is damaged (its sha256 is not the manifest's); use the checkpoint before"
            )
    return SavedCheckpoint(
        path,
        _state(path / "state.json"),
        _tensors(path, shard_files("weights", hashes)),
        _tensors(path, shard_files("optimizer", hashes)),
        _tensors(path, shard_files("raw", hashes)) or None,
    )


def restore(checkpoint: SavedCheckpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put its weights, and what the optimizer remembers, where they belong. Raises BadInput."""
    parameters = dict(model.named_parameters())
    if parameters.keys() != checkpoint.weights.keys():
        odd = min(parameters.keys() ^ checkpoint.weights.keys())
        raise BadInput(
            f"{checkpoint.path} is of another model: they differ in {odd}; use its own configuration"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(shard_like((checkpoint.raw or checkpoint.weights)[name], parameter))
    for key, tensor in checkpoint.optimizer.items():
        name, _, what = key.rpartition("/")
        parameter = parameters[name]
        # Fused AdamW counts its steps on the device; a count is one number, a memory has a weight's shape.
        optimizer.state[parameter][what] = shard_like(tensor, parameter)


def remove_leftovers(run: Path, last: SavedCheckpoint | None = None) -> None:
    """Remove what a killed run left half written. Only for who holds the run's lock.

    last: the checkpoint that is gone on from; pointers that were not yet written then, are now.
    """
    for path in [*run.iterdir(), *(run / "checkpoints").iterdir()]:
        if _LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if last is not None:
        best = last.path.with_name(_name(last.state.best_step or 0))
        for pointer, path in (("latest", last.path), ("best", best)):
            if path.is_dir() and resolve_pointer(run, pointer) != path:
                _point(run, pointer, path)


def _point(run: Path, pointer: str, path: Path) -> None:
    replace_file(run / pointer, f"{path.name}\n".encode())


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _remembered(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as "parameter/what"."""
    return {
        f"{name}/{what}": value
        for name, parameter in model.named_parameters()
        for what, value in optimizer.state.get(parameter, {}).items()
    }


def _tensors(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name in names:
        found |= read_tensors(path / name)
    return found


def _state(path: Path) -> TrainingState:
    content = read_json_object(path, _MOST_JSON_BYTES)
    content.pop("format", None)
    if content.keys() != {field.name for field in fields(TrainingState)}:
        raise BadInput(f"{path} has other fields than this zeropoint writes; use the version that wrote it")
    return TrainingState(**content)


def _prune(run: Path, max_checkpoints: int) -> None:
    best = resolve_pointer(run, "best")
    for path in list_checkpoints(run)[max(max_checkpoints, 2) :]:
        if path != best:
            gone = path.with_name(f"{path.name}.tmp.0")  # first out of sight, so that none is ever half there
            with contextlib.suppress(OSError):
                path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
