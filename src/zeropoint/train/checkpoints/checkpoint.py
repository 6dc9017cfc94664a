"""Save and load checkpoints: complete or absent, hashed, in formats that cannot execute code.

    checkpoints/step-000120/weights.safetensors     the model; its moving average if `train.ema_decay` is set
                            raw.safetensors         and then the weights that training continues from
                            optimizer.safetensors   the optimizer's state of each weight
                            state.json              step, tokens, best loss, seed
                            manifest.json           sha256 of each of these files, written last
    latest, best                                    names of checkpoint folders, each replaced atomically

Several workers write shards (`sharded.py`). A folder is written under a temporary name, flushed and renamed
(`files/atomic_write.py`), so a killed run keeps its previous checkpoint. All randomness derives from the seed
and the step, so no state of a random generator is saved.
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
from zeropoint.files.regular_file import read_regular
from zeropoint.train.checkpoints.sharded import shard_files, write_shards
from zeropoint.train.checkpoints.tensor_io import read_tensors, total_bytes, write_json, write_tensors
from zeropoint.train.distributed.dtensor import shard_like
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from zeropoint.weights.json_file import read_json_object
from zeropoint.weights.safetensors.reader import MAX_INDEX_BYTES, open_safetensors, path_in_folder

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
_MAX_JSON_BYTES = 1 << 20
_MAX_POINTER_BYTES = 1 << 10


@dataclass(frozen=True)
class TrainingState:
    """Progress of a run. step: steps taken, which is also the number (from 0) of the next batch.

    Losses in nats per token; best_*: lowest validation loss; n_worse: evaluations since then; first_loss:
    loss of step 1. seconds: training time. config_sha256: fingerprint of the settings that must not change on
    resume.
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
    """A loaded checkpoint whose hashes match.

    Raw: the weights to continue from, if `weights` is an average.
    """

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
    """Write a checkpoint, update the pointers, and delete all but the best and the newest `max_checkpoints`.

    In a distributed run every worker calls it at the same step, and each writes a shard (`sharded.py`).
    Raises DiskError; earlier checkpoints stay intact then.
    """
    weights: dict[str, Tensor] = dict(model.named_parameters())
    parts = {"weights": weights, "optimizer": _optimizer_state(model, optimizer)}
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
    """The checkpoint folders of a run, newest first, intact or not."""
    folder = run / "checkpoints"
    paths = [p for p in folder.iterdir() if _NAME.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(paths, key=lambda path: -int(path.name.removeprefix("step-")))


def resolve_pointer(run: Path, pointer: str) -> Path | None:
    """The checkpoint that `latest` or `best` names, or None if it does not exist."""
    try:
        name = read_regular(run / pointer, _MAX_POINTER_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError, BadInput):  # a FIFO, for example: it is replaced when a run resumes
        return None
    path = run / "checkpoints" / name
    return path if _NAME.fullmatch(name) and path.is_dir() else None


def load_newest(run: Path) -> tuple[SavedCheckpoint, list[str]]:
    """Load the newest intact checkpoint. Also returns a sentence for each newer one that is damaged.

    Raises BadInput if there is none, or naming the damage if none is intact.
    """
    damaged: list[str] = []
    for path in list_checkpoints(run):
        try:
            return load(path), damaged
        except BadModelFile as error:
            damaged.append(str(error))
    if damaged:
        raise BadInput(f"every checkpoint of {run} is damaged: {'; '.join(damaged)}; start a new run")
    raise BadInput(f"{run} holds no checkpoint to resume from; start a run there first")


def load(path: Path) -> SavedCheckpoint:
    """Load a checkpoint. Raises BadModelFile (damaged), BadInput (written by another version), DiskError.

    `load_newest` does not skip a checkpoint of another version: training from an older one would discard
    progress.
    """
    manifest = read_json_object(path / "manifest.json", _MAX_JSON_BYTES)
    if manifest.get("format") != FORMAT:
        raise BadInput(
            f"{path} has format {str(manifest.get('format'))[:20]}, and this zeropoint reads {FORMAT}; "
            "install the version that wrote it"
        )
    hashes = manifest.get("sha256")
    if not isinstance(hashes, dict) or not (
        shard_files("weights", hashes) and shard_files("optimizer", hashes) and "state.json" in hashes
    ):
        raise BadModelFile(
            f"{path / 'manifest.json'} does not list the hashes of its files; use another checkpoint"
        )
    for name, expected in hashes.items():
        file = path_in_folder(path, Path(name).name)
        if file.suffix == ".safetensors":
            open_safetensors(file)  # its header must match its size, before all of it is read
        elif file.is_file() and file.stat().st_size > MAX_INDEX_BYTES:
            raise BadModelFile(f"{file} has more than {MAX_INDEX_BYTES} bytes; use the previous checkpoint")
        if not file.is_file():
            raise BadModelFile(f"{file} is not a regular file; use the previous checkpoint")
        if sha256_of(file) != expected:
            raise BadModelFile(
                f"{file} is damaged (its sha256 differs from the manifest); use the previous checkpoint"
            )
    return SavedCheckpoint(
        path,
        _state(path / "state.json"),
        _tensors(path, shard_files("weights", hashes)),
        _tensors(path, shard_files("optimizer", hashes)),
        _tensors(path, shard_files("raw", hashes)) or None,
    )


def restore(checkpoint: SavedCheckpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy the weights and the optimizer state into a model and an optimizer.

    Raises BadInput for another model.
    """
    parameters = dict(model.named_parameters())
    if parameters.keys() != checkpoint.weights.keys():
        mismatched = min(parameters.keys() ^ checkpoint.weights.keys())
        raise BadInput(
            f"{checkpoint.path} belongs to another model (they differ in {mismatched}); use that model's "
            "configuration"
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(shard_like((checkpoint.raw or checkpoint.weights)[name], parameter))
    for key, tensor in checkpoint.optimizer.items():
        name, _, slot = key.rpartition("/")
        parameter = parameters[name]
        # Fused AdamW keeps its step count on the device, as a scalar; moments have the shape of the weight.
        optimizer.state[parameter][slot] = shard_like(tensor, parameter)


def remove_leftovers(run: Path, last: SavedCheckpoint | None = None) -> None:
    """Delete temporary files of a killed run. Call it only while holding the run's lock.

    last: the checkpoint to resume from; pointers that the killed run did not update are updated now.
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


def _optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors, named "parameter/slot"."""
    return {
        f"{name}/{slot}": value
        for name, parameter in model.named_parameters()
        for slot, value in optimizer.state.get(parameter, {}).items()
    }


def _tensors(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= read_tensors(path / name)
    return tensors


def _state(path: Path) -> TrainingState:
    content = read_json_object(path, _MAX_JSON_BYTES)
    content.pop("format", None)
    if content.keys() != {field.name for field in fields(TrainingState)}:
        raise BadInput(
            f"{path} has fields that this version of zeropoint does not know; use the version that wrote it"
        )
    return TrainingState(**content)


def _prune(run: Path, max_checkpoints: int) -> None:
    best = resolve_pointer(run, "best")
    for path in list_checkpoints(run)[max(max_checkpoints, 2) :]:
        if path != best:
            gone = path.with_name(
                f"{path.name}.tmp.0"
            )  # renamed first, so that no checkpoint is ever incomplete
            with contextlib.suppress(OSError):
                path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
