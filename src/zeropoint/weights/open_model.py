"""A model on this disk, whatever lays it out: its blueprint, and its weights by our names, not read yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from zeropoint import families
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.check import check
from zeropoint.blueprint.sources import Rename, TensorSource, stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights.duplicate_tensors import check_duplicates, find_duplicates
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.hf_folder import PICKLES_RUN_CODE, Folder, is_pickle, open_folder
from zeropoint.weights.mapping import RenamedTensors, Weights, from_stored
from zeropoint.weights.run_checkpoint import RunCheckpoint, checkpoint_at, is_trained, open_checkpoint
from zeropoint.weights.stored_tensors import StoredTensors

__all__ = ["Opened", "open_model"]


@frozen
class Opened:
    """blueprint and weights, the module of the family that writes them, and the file or folder they are in.

    sources: what each of our tensors is made of there. left_out: weights there that have no place in ours, as
    BERT's pooler.
    One architecture of GGUF may be several families elsewhere, so the family that reads need not be this one.
    """

    blueprint: Blueprint
    weights: Weights
    family: ModuleType
    file: GgufModel | Folder | RunCheckpoint
    sources: Mapping[str, TensorSource]
    left_out: tuple[str, ...] = ()


def open_model(path: Path, *, allow_pickle: bool = False) -> Opened:
    """The model in a GGUF file (or its parts), a Hugging Face folder, or a training run: its last checkpoint.

    Every tensor is accounted for before one is read; what a file holds twice is then compared.
    Raises BadModelFile, DiskError.
    """
    if is_trained(path):
        return _of_checkpoint(open_checkpoint(checkpoint_at(path)))
    if path.is_dir():
        return _of_folder(open_folder(path, allow_pickle=allow_pickle))
    if is_pickle(path):
        remedy = ", or give its folder with --allow-pickle"
        raise BadModelFile(f"{display_path(path)}: {PICKLES_RUN_CODE}{remedy}")
    if path.suffix == ".safetensors":
        raise BadModelFile(
            f"{display_path(path)} holds weights alone; give its folder, which has config.json too"
        )
    return _of_gguf(open_gguf(path))


def _of_gguf(file: GgufModel) -> Opened:
    family = families.for_gguf(file)
    blueprint = _checked(family.from_gguf(file), file.name)
    sources = families.gguf_sources(file, blueprint)
    weights = _weights(file, sources, blueprint, "gguf", family.gguf_tensors(blueprint))
    return Opened(blueprint, weights, families.for_blueprint(blueprint), file, sources)


def _of_folder(folder: Folder) -> Opened:
    family = families.for_hf(folder.config, f"{folder.name}/config.json")
    blueprint = _checked(family.from_hf(folder.config), folder.name)
    stored = RenamedTensors(folder.stored, getattr(family, "PREFIX", ""), getattr(family, "ALIASES", {}))
    sources = family.tensor_map(blueprint, "hf")
    unplaced = [re.compile(pattern) for pattern in getattr(family, "DROPPED", ())]
    left_out = [name for name in stored.tensors if any(pattern.fullmatch(name) for pattern in unplaced)]
    leftovers = [*getattr(family, "IGNORED", ()), *map(re.escape, left_out)]
    weights = _weights(stored, sources, blueprint, "hf", leftovers)
    return Opened(
        blueprint, weights, families.for_blueprint(blueprint), folder, sources, tuple(sorted(left_out))
    )


def _of_checkpoint(file: RunCheckpoint) -> Opened:
    blueprint = _checked(file.blueprint, file.name)
    shapes = parameters(blueprint)
    sources = {name: Rename(name) for name in shapes}
    weights = from_stored(file.stored, sources, shapes)
    return Opened(blueprint, weights, families.for_blueprint(blueprint), file, sources)


def _weights(
    stored: StoredTensors,
    sources: Mapping[str, TensorSource],
    blueprint: Blueprint,
    kind: families.Kind,
    leftovers: Iterable[str],
) -> Weights:
    needed = {name for source in sources.values() for name in stored_names(source)}
    repeats = find_duplicates(
        stored.tensors.keys() - needed, families.duplicate_names(kind, blueprint), sources
    )
    known = [*leftovers, *map(re.escape, repeats)]
    weights = from_stored(stored, sources, parameters(blueprint), leftovers=known)
    check_duplicates(stored, repeats)
    return weights


def _checked(blueprint: Blueprint, name: str) -> Blueprint:
    try:
        check(blueprint, name)
    except BadInput as error:
        raise BadModelFile(str(error)) from None
    return blueprint
