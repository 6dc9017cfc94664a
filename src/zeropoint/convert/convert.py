"""From one kind of model file to another: GGUF to folder, folder to GGUF, either to itself in another format.

The result is written beside the target, read again and run, and only then takes the target's name: a kill
at any moment leaves what was there before, or the whole new model. One tensor at a time is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from zeropoint.convert.model_metadata import folder_files, gguf_metadata
from zeropoint.convert.smoke_test import try_result
from zeropoint.convert.verify_tensors import check_tensors
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import atomic_file, atomic_folder, write_file
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights import hf_folder as folders
from zeropoint.weights.conversion import folder_tensors, gguf_tensors
from zeropoint.weights.export_variants import fit_for_export
from zeropoint.weights.gguf.writer import file_bytes, write_gguf
from zeropoint.weights.hf_folder import Folder
from zeropoint.weights.open_model import Opened, open_model
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.run_checkpoint import RunCheckpoint
from zeropoint.weights.safetensors.writer import SHARD_BYTES, write_shards
from zeropoint.weights.stored_tensors import format_names

__all__ = ["Converted", "convert"]

Notify = Callable[[str], None]
_PART = re.compile(r".+-\d{5}-of-\d{5}\.gguf", re.DOTALL)


@frozen
class Converted:
    """What was written: where, how large, how many tensors in each format, and whether it was run."""

    path: Path
    n_bytes: int
    formats: dict[str, int]
    was_run: bool


def convert(
    source: Path,
    target: Path,
    *,
    to: str | None = None,
    force: bool = False,
    allow_pickle: bool = False,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int | None, int], None] = lambda total, done: None,
    notify: Notify = lambda text: None,
) -> Converted:
    """Write the model at `source` (GGUF or folder) to `target`: GGUF by its ending, else a folder.

    to: the format of matrices ("Q8_0", "BF16"); None keeps each as it is (in a folder, what is packed becomes
    F32). force: replace a target that exists, also the source itself.
    Raises BadInput, BadModelFile, DiskError, OutOfMemory.
    """
    to = to.upper() if to else None
    is_gguf = _check_target(source, target, force)
    opened = open_model(source, allow_pickle=allow_pickle)
    if isinstance(opened.file, RunCheckpoint):
        opened = fit_for_export(opened, "gguf" if is_gguf else "hf", notify)
    if isinstance(opened.file, Folder):
        for notice in opened.file.notices:
            notify(notice)
    if opened.left_out:
        notify(f"left out, having no place in this kind of model: {format_names(opened.left_out)}")
    tensors = gguf_tensors(opened, to, notify) if is_gguf else folder_tensors(opened, to)
    total, done = 2 * sum(tensor.n_bytes for tensor in tensors), 0  # written, then read again

    def passed(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        progress(total, done)

    if is_gguf:
        return _to_gguf(opened, target, tensors, passed, notify)
    return _to_folder(opened, target, tensors, shard_bytes, passed, notify)


def _check_target(source: Path, target: Path, force: bool) -> bool:
    """Whether the target is a GGUF file. Raises BadInput where nothing may be written."""
    is_gguf = target.suffix.lower() == ".gguf"
    if not is_gguf and (folders.is_pickle(target) or target.suffix == ".safetensors"):
        raise BadInput(f"{display_path(target)}: a target ends in .gguf, or is the name of a folder")
    if _PART.fullmatch(target.name):
        raise BadInput(
            f"{display_path(target)} is the name of one part of a model; choose a name for the whole"
        )
    if not target.exists() and not target.is_symlink():
        return is_gguf
    if is_gguf and not target.is_file():
        raise BadInput(f"{display_path(target)} is no file; choose another target")
    if not is_gguf and not target.is_dir():
        raise BadInput(
            f"{display_path(target)} is no folder; choose another target, or one that ends in .gguf"
        )
    if not is_gguf and not any(target.iterdir()):
        return False
    if not force:
        raise BadInput(f"{display_path(target)} exists; choose another target, or replace it with --force")
    if not is_gguf and (target.is_symlink() or not folders.holds_only_a_model(target)):
        raise BadInput(
            f"{display_path(target)} holds more than a model and is not replaced; choose another target"
        )
    return is_gguf


def _to_gguf(
    opened: Opened, target: Path, tensors: list[PackedTensor], passed: Callable[[int], None], notify: Notify
) -> Converted:
    metadata = gguf_metadata(opened, tensors, notify)
    n_bytes = file_bytes(metadata, tensors)
    with atomic_file(target, need_bytes=n_bytes) as temporary:
        write_gguf(temporary, metadata, tensors, on_write=passed)
        was_run = _check(opened, temporary, target, tensors, passed, notify)
    return Converted(target, n_bytes, _formats(tensors), was_run)


def _to_folder(
    opened: Opened,
    target: Path,
    tensors: list[PackedTensor],
    shard_bytes: int,
    passed: Callable[[int], None],
    notify: Notify,
) -> Converted:
    files = folder_files(opened, target, tensors, notify)
    n_bytes = sum(map(len, files.values())) + sum(tensor.n_bytes for tensor in tensors)
    with atomic_folder(target, need_bytes=n_bytes) as temporary:
        for name, content in files.items():
            with write_file(temporary / name) as file:
                file.write(content)
        write_shards(temporary, tensors, shard_bytes=shard_bytes, on_write=passed)
        was_run = _check(opened, temporary, target, tensors, passed, notify)
    return Converted(target, n_bytes, _formats(tensors), was_run)


def _check(
    opened: Opened,
    temporary: Path,
    target: Path,
    tensors: list[PackedTensor],
    passed: Callable[[int], None],
    notify: Notify,
) -> bool:
    """Load what was written as anyone would, compare it with the source, and run both. Whether it was run."""
    again = open_model(temporary)
    check_tensors(again, tensors, display_path(target), passed)
    return try_result(opened, again, all(tensor.is_lossless for tensor in tensors), target, notify)


def _formats(tensors: list[PackedTensor]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.format] = counts.get(tensor.format, 0) + 1
    return counts
