"""Convert a model: GGUF to Hugging Face folder, folder to GGUF, or either to another number format.

The result is written under a temporary name, verified and run, and only then renamed to the target: a crash
at any moment leaves the old target or the complete new model. One tensor at a time is in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zeropoint.convert.model_metadata import folder_files, gguf_metadata
from zeropoint.convert.smoke_test import smoke_test
from zeropoint.convert.verify_tensors import verify_tensors
from zeropoint.convert.verify_text import verify_text
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import atomic_file, atomic_folder, write_file
from zeropoint.files.locks import sole_writer
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights import hf_folder as folders
from zeropoint.weights.conversion import check_format, folder_tensors, gguf_tensors
from zeropoint.weights.export_variants import export_variant
from zeropoint.weights.gguf.writer import file_bytes, write_gguf
from zeropoint.weights.hf_folder import HfFolder
from zeropoint.weights.mxfp4_tensors import is_part_of_pair
from zeropoint.weights.open_model import OpenedModel, open_model
from zeropoint.weights.packing import PackedTensor
from zeropoint.weights.run_checkpoint import RunCheckpoint
from zeropoint.weights.safetensors.writer import SHARD_BYTES, write_shards
from zeropoint.weights.stored_tensors import format_names

__all__ = ["ConversionResult", "check_target", "convert"]

Notify = Callable[[str], None]
_PART = re.compile(r".+-\d{5}-of-\d{5}\.gguf", re.DOTALL)


@frozen
class ConversionResult:
    """What was written: path, size, number of tensors in each format, and whether the smoke test ran."""

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
    sampling: Mapping[str, float] | None = None,
    progress: Callable[[int | None, int], None] = lambda total, done: None,
    notify: Notify = lambda text: None,
) -> ConversionResult:
    """Convert the model at `source` to `target`: a GGUF file if it ends in .gguf, else a folder.

    source: a GGUF file, a Hugging Face folder or a training run. to: the number format of matrices ("Q8_0",
    "BF16"); None keeps each as it is (in a folder, quantized tensors become F32). force: replace an existing
    target, even the source itself. sampling: recommended parameters for a model whose files have none.
    progress(total, done): bytes written and verified. notify: notices.
    A target that another process is writing is refused.
    Raises BadInput, BadModelFile, DiskError, OutOfMemory.
    """
    with sole_writer(target):
        is_gguf = check_target(target, to, force)
        opened = open_model(source, allow_pickle=allow_pickle)
        to = to.upper() if to else None
        return _convert(opened, target, is_gguf, to, shard_bytes, sampling or {}, progress, notify)


def _convert(
    opened: OpenedModel,
    target: Path,
    is_gguf: bool,
    to: str | None,
    shard_bytes: int,
    sampling: Mapping[str, float],
    progress: Callable[[int | None, int], None],
    notify: Notify,
) -> ConversionResult:
    if isinstance(opened.file, RunCheckpoint):
        opened = export_variant(opened, "gguf" if is_gguf else "hf", notify)
    if isinstance(opened.file, HfFolder):
        for notice in opened.file.notices:
            notify(notice)
    if opened.left_out:
        notify(f"left out, because this kind of model does not use them: {format_names(opened.left_out)}")
    tensors = gguf_tensors(opened, to, notify) if is_gguf else folder_tensors(opened, to)
    total, done = 2 * sum(tensor.n_bytes for tensor in tensors), 0  # written, then verified

    def report(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        progress(total, done)

    if is_gguf:
        metadata = gguf_metadata(opened, tensors, notify, sampling)
        return _to_gguf(opened, target, tensors, metadata, report, notify)
    files = folder_files(opened, target, tensors, notify, sampling)
    return _to_folder(opened, target, tensors, files, shard_bytes, report, notify)


def check_target(target: Path, to: str | None, force: bool) -> bool:
    """Whether the target is a GGUF file. Raises BadInput if it may not be written, or not in the format `to`.

    Needs no source, so it can be checked before one is downloaded or read.
    """
    is_gguf = target.suffix.lower() == ".gguf"
    if not is_gguf and (folders.is_pickle(target) or target.suffix == ".safetensors"):
        raise BadInput(f"{display_path(target)}: a target must end in .gguf or be the name of a folder")
    if _PART.fullmatch(target.name):
        raise BadInput(
            f"{display_path(target)} is the name of one shard of a model; choose a name without shard numbers"
        )
    check_format(to.upper() if to else None, is_gguf)
    if not target.exists() and not target.is_symlink():
        return is_gguf
    if is_gguf and not target.is_file():
        raise BadInput(f"{display_path(target)} is not a file; choose another target")
    if not is_gguf and not target.is_dir():
        raise BadInput(
            f"{display_path(target)} is not a folder; choose another target, or one that ends in .gguf"
        )
    if not is_gguf and not any(target.iterdir()):
        return False
    if not force:
        raise BadInput(f"{display_path(target)} exists; choose another target, or replace it with --force")
    if not is_gguf and (target.is_symlink() or not folders.holds_only_a_model(target)):
        raise BadInput(
            f"{display_path(target)} contains more than a model and is not replaced; choose another target"
        )
    return is_gguf


def _to_gguf(
    opened: OpenedModel,
    target: Path,
    tensors: list[PackedTensor],
    metadata: dict[str, Any],
    report: Callable[[int], None],
    notify: Notify,
) -> ConversionResult:
    n_bytes = file_bytes(metadata, tensors)
    with atomic_file(target, need_bytes=n_bytes) as temporary:
        write_gguf(temporary, metadata, tensors, on_write=report)
        was_run = _check(opened, temporary, target, tensors, report, notify)
    return ConversionResult(target, n_bytes, _formats(tensors), was_run)


def _to_folder(
    opened: OpenedModel,
    target: Path,
    tensors: list[PackedTensor],
    files: dict[str, bytes],
    shard_bytes: int,
    report: Callable[[int], None],
    notify: Notify,
) -> ConversionResult:
    n_bytes = sum(map(len, files.values())) + sum(tensor.n_bytes for tensor in tensors)
    with atomic_folder(target, need_bytes=n_bytes) as temporary:
        for name, content in files.items():
            with write_file(temporary / name) as file:
                file.write(content)
        write_shards(temporary, tensors, shard_bytes=shard_bytes, on_write=report)
        was_run = _check(opened, temporary, target, tensors, report, notify)
    return ConversionResult(target, n_bytes, _formats(tensors), was_run)


def _check(
    opened: OpenedModel,
    temporary: Path,
    target: Path,
    tensors: list[PackedTensor],
    report: Callable[[int], None],
    notify: Notify,
) -> bool:
    """Open the result, compare it with the source and run both. Whether it was run."""
    reopened = open_model(temporary)
    verify_tensors(reopened, tensors, display_path(target), report)
    verify_text(opened, reopened, target, notify)
    return smoke_test(opened, reopened, all(tensor.is_lossless for tensor in tensors), target, notify)


def _formats(tensors: list[PackedTensor]) -> dict[str, int]:
    forms = ["MXFP4" if is_part_of_pair(tensor) else tensor.format for tensor in tensors]
    return {form: forms.count(form) for form in dict.fromkeys(forms)}
