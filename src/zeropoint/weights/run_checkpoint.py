"""Find and open the checkpoints of a training run: `runs/NAME/checkpoints/step-000120`.

A run is a folder with `run.json`, `blueprint.toml` and `tokenizer.json`; `train/run/run.py` writes it. A
checkpoint contains `weights.safetensors` under our tensor names, and `manifest.json` with the SHA-256 of its
files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.io import from_toml
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.paths import display_path
from zeropoint.weights.json_file import open_regular, read_bytes, read_json_object
from zeropoint.weights.safetensors.reader import (
    SafetensorsModel,
    open_safetensors,
    open_sharded,
    path_in_folder,
)

__all__ = [
    "INDEX",
    "RunCheckpoint",
    "checkpoint_path",
    "checkpoint_steps",
    "find_checkpoint",
    "is_run",
    "open_checkpoint",
]

WEIGHTS = "weights.safetensors"
INDEX = "weights.safetensors.index.json"  # of sharded weights, one shard per worker
POINTERS = ("latest", "best")  # files in a run, each containing the name of a checkpoint
_MAX_TEXT_BYTES = 4 << 20
_FOLDER = re.compile(r"step-(\d{1,12})")


@dataclass(frozen=True, eq=False)
class RunCheckpoint:
    """An opened checkpoint. path: its folder; run: the folder of the run; tokenizer: its tokenizer.json."""

    path: Path
    run: Path
    step: int
    blueprint: Blueprint
    stored: SafetensorsModel
    tokenizer: Path

    @property
    def name(self) -> str:
        """The checkpoint for messages."""
        return display_path(self.path)

    @property
    def title(self) -> str:
        """The name of its model: the run and the step."""
        return f"{self.run.name}-step-{self.step:06d}"


def is_run(path: Path) -> bool:
    """Whether a folder is a training run."""
    return (path / "run.json").is_file()


def find_checkpoint(path: Path) -> Path | None:
    """The checkpoint folder that `path` names; None for a path outside of a training run.

    path: a run (its latest checkpoint), the file `latest` or `best` in it, or a checkpoint folder.
    Raises BadInput for a run without a checkpoint, BadModelFile.
    """
    path = path.absolute()
    if path.name in POINTERS and path.is_file():
        return checkpoint_path(path.parent, path.name) if is_run(path.parent) else None
    if not path.is_dir():
        return None
    if is_run(path):
        return checkpoint_path(path)
    return path if (path / _stored(path)[0]).is_file() and is_run(path.parent.parent) else None


def checkpoint_steps(run: Path) -> list[int]:
    """The steps of a run's checkpoints, in order."""
    matches = (_FOLDER.fullmatch(entry.name) for entry in (run / "checkpoints").glob("step-*"))
    return sorted(int(match[1]) for match in matches if match)


def checkpoint_path(run: Path, which: str | int = "latest") -> Path:
    """The folder of a run's checkpoint: `latest`, `best` or a step. Raises BadInput if it does not exist."""
    steps = checkpoint_steps(run)
    if not steps:
        command = f"zeropoint train --config {display_path(run / 'config.toml')} --out {display_path(run)}"
        raise BadInput(f"{display_path(run)} has no checkpoint yet; train it first: {command}")
    if which in POINTERS:
        return _pointed(run, str(which))
    if not str(which).isdecimal() or int(which) not in steps:
        listed = ", ".join(map(str, steps[-10:]))
        raise BadInput(
            f"{display_path(run)} has no checkpoint `{which!s:.40}`; give latest, best or one of {listed}"
        )
    return run / "checkpoints" / f"step-{int(which):06d}"


def open_checkpoint(path: Path) -> RunCheckpoint:
    """Open a checkpoint folder. Raises BadModelFile naming the missing or damaged file, DiskError."""
    path = path.absolute()
    run = path.parent.parent
    match = _FOLDER.fullmatch(path.name)
    if match is None:
        raise BadModelFile(
            f"{display_path(path)} is not a checkpoint; its name must be that of a step, such as step-000120"
        )
    blueprint = from_toml(_text(path_in_folder(run, "blueprint.toml")), display_path(run / "blueprint.toml"))
    names = _stored(path)
    _verify(path, names)
    stored = (open_sharded if INDEX in names else open_safetensors)(path_in_folder(path, names[0]))
    tokenizer = run / "tokenizer.json"
    if os.path.lexists(tokenizer):
        path_in_folder(run, tokenizer.name)
    return RunCheckpoint(path, run, int(match[1]), blueprint, stored, tokenizer)


def _pointed(run: Path, name: str) -> Path:
    """The checkpoint that the file `latest` or `best` names."""
    target = _text(run / name).strip()
    if not _FOLDER.fullmatch(target) or not (run / "checkpoints" / target).is_dir():
        raise BadModelFile(f"{display_path(run / name)} does not name a checkpoint; give a step instead")
    return run / "checkpoints" / target


def _stored(path: Path) -> list[str]:
    """The names of a checkpoint's weight files: a single file, or an index and its shards."""
    if not (path / INDEX).is_file():
        return [WEIGHTS]
    return [INDEX, *sorted(file.name for file in path.glob("weights-*.safetensors"))]


def _verify(path: Path, names: list[str]) -> None:
    """Compare the SHA-256 of files with the manifest's."""
    import hashlib  # here: it loads OpenSSL, which a chat does not need

    expected = read_json_object(path_in_folder(path, "manifest.json"), _MAX_TEXT_BYTES).get("sha256", {})
    for name in names:
        file_path = path_in_folder(path, name)
        if name != INDEX:
            open_safetensors(file_path)  # its header must match its size, before all of it is read
        digest = hashlib.sha256()
        with open_regular(file_path) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if not isinstance(expected, dict) or expected.get(name) != digest.hexdigest():
            raise BadModelFile(
                f"{display_path(path / name)} is damaged: its SHA-256 differs from manifest.json; use "
                "another step of the run"
            )


def _text(path: Path) -> str:
    try:
        return read_bytes(path, _MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise BadModelFile(f"{display_path(path)} is not valid UTF-8; restore the file") from None
