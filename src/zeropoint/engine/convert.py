"""From one kind of model file to another: GGUF to folder, folder to GGUF, either to itself in another format.

The result is written beside the target, read again and run, and only then takes the target's name: a kill
at any moment leaves what was there before, or the whole new model. One tensor at a time is in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from zeropoint import __version__
from zeropoint.blueprint import Blueprint
from zeropoint.engine.native import NativeEngine, default_threads
from zeropoint.errors import BadInput, BadModelFile, MachineError
from zeropoint.tokenizers.from_hf import gguf_metadata
from zeropoint.tokenizers.gguf import load_tokenizer
from zeropoint.tokenizers.to_hf import hf_files
from zeropoint.weights import folder as folders
from zeropoint.weights.convert import file_type, folder_tensors, gguf_tensors
from zeropoint.weights.folder import Folder
from zeropoint.weights.gguf import GgufModel, open_gguf, shown
from zeropoint.weights.gguf_write import Typed, file_bytes, typed_metadata, write_gguf
from zeropoint.weights.opened import Opened, open_model
from zeropoint.weights.packing import Packed
from zeropoint.weights.safetensors import SafetensorsModel
from zeropoint.weights.safetensors_write import SHARD_BYTES, write_shards
from zeropoint.weights.staged import new_file, new_folder, write_file

__all__ = ["Converted", "convert"]

Notify = Callable[[str], None]
_N_SAMPLED = 4  # tensors read again and compared
_N_TOKENS = 4  # made by the native engine
_PART = re.compile(r".+-\d{5}-of-\d{5}\.gguf", re.DOTALL)
_LICENCE = re.compile(r"^license:\s*[\"']?([\w.-]+)", re.MULTILINE)


@dataclass(frozen=True)
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
    if isinstance(opened.file, Folder):
        for notice in opened.file.notices:
            notify(notice)
    tensors = gguf_tensors(opened, to, notify) if is_gguf else folder_tensors(opened, to)
    total, done = sum(tensor.n_bytes for tensor in tensors), 0

    def wrote(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        progress(total, done)

    if is_gguf:
        return _to_gguf(opened, target, tensors, wrote, notify)
    return _to_folder(opened, target, tensors, shard_bytes, wrote, notify)


def _check_target(source: Path, target: Path, force: bool) -> bool:
    """Whether the target is a GGUF file. Raises BadInput where nothing may be written."""
    is_gguf = target.suffix.lower() == ".gguf"
    if not is_gguf and (folders.is_pickle(target) or target.suffix == ".safetensors"):
        raise BadInput(f"{shown(target)}: a target ends in .gguf, or is the name of a folder")
    if _PART.fullmatch(target.name):
        raise BadInput(f"{shown(target)} is the name of one part of a model; choose a name for the whole")
    if not target.exists() and not target.is_symlink():
        return is_gguf
    if is_gguf and not target.is_file():
        raise BadInput(f"{shown(target)} is no file; choose another target")
    if not is_gguf and not target.is_dir():
        raise BadInput(f"{shown(target)} is no folder; choose another target, or one that ends in .gguf")
    if not is_gguf and not any(target.iterdir()):
        return False
    if not force:
        raise BadInput(f"{shown(target)} exists; choose another target, or replace it with --force")
    if not is_gguf and (target.is_symlink() or not folders.holds_only_a_model(target)):
        raise BadInput(f"{shown(target)} holds more than a model and is not replaced; choose another target")
    return is_gguf


def _to_gguf(
    opened: Opened, target: Path, tensors: list[Packed], wrote: Callable[[int], None], notify: Notify
) -> Converted:
    metadata = _metadata(opened, target, tensors, notify)
    n_bytes = file_bytes(metadata, tensors)
    with new_file(target, need_bytes=n_bytes) as temporary:
        write_gguf(temporary, metadata, tensors, wrote=wrote)
        written = open_gguf(temporary)
        _compare(tensors, written.read, target)
        was_run = _run(written, open_model(temporary).blueprint, target, notify)
    return Converted(target, n_bytes, _formats(tensors), was_run)


def _to_folder(
    opened: Opened,
    target: Path,
    tensors: list[Packed],
    shard_bytes: int,
    wrote: Callable[[int], None],
    notify: Notify,
) -> Converted:
    files = _files(opened, target, tensors, notify)
    n_bytes = sum(map(len, files.values())) + sum(tensor.n_bytes for tensor in tensors)
    with new_folder(target, need_bytes=n_bytes) as temporary:
        for name, content in files.items():
            with write_file(temporary / name) as file:
                file.write(content)
        write_shards(temporary, tensors, shard_bytes=shard_bytes, wrote=wrote)
        written = cast(Folder, open_model(temporary).file).stored
        _compare(tensors, cast(SafetensorsModel, written).read, target)
    return Converted(target, n_bytes, _formats(tensors), was_run=False)


def _metadata(opened: Opened, target: Path, tensors: list[Packed], notify: Notify) -> dict[str, Any]:
    """The metadata of a GGUF file: that of the source, or what the family and the tokenizer files say."""
    about = {"general.file_type": file_type(tensors), "general.quantization_version": 2}
    file = opened.file
    if isinstance(file, GgufModel):
        return typed_metadata(file) | {key: Typed(value, "UINT32") for key, value in about.items()}
    family: dict[str, Any] = dict(opened.family.to_gguf(opened.blueprint))
    general = {"general.architecture": family.pop("general.architecture"), "general.type": "model"}
    general["general.name"] = str(file.config.get("_name_or_path") or file.path.resolve().name)
    if "README.md" in file.files and (
        licence := _LICENCE.search(file.bytes("README.md").decode("utf-8", "replace"))
    ):
        general["general.license"] = licence[1]
    return general | about | family | _tokenizer_metadata(opened, file, notify)


def _tokenizer_metadata(opened: Opened, file: Folder, notify: Notify) -> dict[str, Any]:
    if "tokenizer.json" not in file.files:
        notify(f"{file.name} has no tokenizer.json, so the new file has no tokenizer and cannot chat")
        return {}
    settings = file.json("special_tokens_map.json") | file.json("tokenizer_config.json")
    return gguf_metadata(
        file.json("tokenizer.json"),
        settings,
        file.config,
        opened.blueprint.n_vocab,
        template=file.template,
        name=f"{file.name}/tokenizer.json",
    )


def _files(opened: Opened, target: Path, tensors: list[Packed], notify: Notify) -> dict[str, bytes]:
    """What a folder has besides weights: carried along from a folder, or made from a GGUF's metadata."""
    form = max(_formats([tensor for tensor in tensors if len(tensor.shape) > 1]).items(), key=lambda x: x[1])[
        0
    ]
    file = opened.file
    if isinstance(file, Folder):
        carried = {name: file.bytes(name) for name in file.files}
        return {"config.json": folders.with_dtype(file.config, form), **carried}
    config = dict(opened.family.to_hf(opened.blueprint))
    files: dict[str, bytes] = {}
    if "tokenizer.ggml.tokens" in file.metadata:
        tokenizer = load_tokenizer(file)
        special = {
            "bos_token_id": tokenizer.bos_id,
            "eos_token_id": sorted(tokenizer.stop_ids) or None,
            "pad_token_id": tokenizer.pad_id,
        }
        ids = {key: value for key, value in special.items() if value is not None}
        config |= {**ids, "eos_token_id": tokenizer.eos_id}
        files = hf_files(file, tokenizer, opened.blueprint.n_ctx)
        files["generation_config.json"] = json.dumps(ids, indent=2).encode()
    else:
        notify(f"{file.name} has no tokenizer, so the folder has none")
    card = _card(file, target, form).encode()
    return {"config.json": folders.with_dtype(config, form), "README.md": card, **files}


def _card(file: GgufModel, target: Path, form: str) -> str:
    """The model card: what the source says of itself, and how this folder came to be."""
    licence = file.get_str("general.license", default="")
    head = f"---\nlicense: {licence}\n---\n\n" if re.fullmatch(r"[\w.-]+", licence) else ""
    name = file.get_str("general.name", default=target.name)
    source = file.paths[0].name
    return (
        f"{head}# {name}\n\nConverted from the GGUF file `{source}` to {form} by zeropoint {__version__}.\n"
    )


def _compare(tensors: list[Packed], read: Callable[[str], NDArray[np.uint8]], target: Path) -> None:
    """Read some tensors of the result again: they must be what was to be written."""
    step = max(1, len(tensors) // _N_SAMPLED)
    for tensor in tensors[::step]:
        if hashlib.sha256(read(tensor.name).data).digest() != _digest(tensor):
            raise BadModelFile(
                f"{shown(target)}: tensor `{tensor.name}` did not arrive as written; try again"
            )


def _digest(tensor: Packed) -> bytes:
    wanted = hashlib.sha256()
    for chunk in tensor.chunks():
        wanted.update(chunk.data)
    return wanted.digest()


def _run(file: GgufModel, blueprint: Blueprint, target: Path, notify: Notify) -> bool:
    """Let the native engine make some tokens with the result. False where it cannot run such a model."""
    try:
        engine = NativeEngine(file, blueprint, n_ctx=2 * _N_TOKENS, n_threads=default_threads())
    except BadInput as error:
        if isinstance(error, BadModelFile):
            raise
        notify(f"the result was read again but not run: {error}")
        return False
    try:
        stepper, token = engine.stepper(), 0
        for _ in range(_N_TOKENS):
            token = int(stepper.extend([token])[-1].argmax())
        stepper.close()
    except MachineError as error:  # NaN
        raise BadModelFile(f"{shown(target)} is not made, since it does not run: {error}") from None
    finally:
        engine.close()
    return True


def _formats(tensors: list[Packed]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for tensor in tensors:
        counts[tensor.format] = counts.get(tensor.format, 0) + 1
    return counts
