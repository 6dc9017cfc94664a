"""Open a model on disk: a GGUF file, a Hugging Face folder or a training run.

`locate` alone decides which kind a path is; `open_file` opens it; `read_model` reads its blueprint and maps
its tensors to our names, without reading weights. `gguf_blueprint` is the part of this that the native engine
needs, and imports neither numpy nor the readers of the other kinds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TypeAlias

from zeropoint import _native, families
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

if TYPE_CHECKING:
    from zeropoint.weights.hf_folder import HfFolder
    from zeropoint.weights.mapping import Weights
    from zeropoint.weights.run_checkpoint import RunCheckpoint
    from zeropoint.weights.stored_tensors import StoredTensors

__all__ = [
    "Location",
    "ModelFile",
    "OpenedModel",
    "gguf_blueprint",
    "locate",
    "open_file",
    "open_model",
    "read_model",
]

ModelFile: TypeAlias = "GgufModel | HfFolder | RunCheckpoint"


@frozen
class Location:
    """Where a model is and what kind of file holds it.

    path: the GGUF file (any of its parts), the Hugging Face folder, or the checkpoint folder of a run.
    """

    kind: Literal["gguf", "hf", "run"]
    path: Path


@frozen
class OpenedModel:
    """An opened model: its blueprint, and its weights under our names, not read yet.

    family: the module that writes such models. file: the file or folder that holds them. sources: the stored
    tensors that each of ours is made of. left_out: stored weights that our model has no use for, such as
    BERT's pooler.
    One architecture of GGUF may be several families elsewhere, so the family that reads may be another.
    """

    blueprint: Blueprint
    weights: Weights
    family: ModuleType
    file: ModelFile
    sources: Mapping[str, TensorSource]
    left_out: tuple[str, ...] = ()


def open_model(path: Path, *, allow_pickle: bool = False) -> OpenedModel:
    """Open the model at `path`; of a training run, its latest checkpoint.

    Every tensor is accounted for before any is read; tensors that a file stores twice are then compared.
    Raises BadModelFile, DiskError, BadInput (a run without a checkpoint).
    """
    return read_model(open_file(locate(path), allow_pickle=allow_pickle))


def locate(path: Path) -> Location:
    """Decide what kind of model a path is. Raises BadInput, BadModelFile for a path that is none of them."""
    if path.suffix == ".gguf" and path.is_file():
        return Location("gguf", path)
    from zeropoint.weights.run_checkpoint import find_checkpoint  # here: most models are GGUF files

    if (checkpoint := find_checkpoint(path)) is not None:
        return Location("run", checkpoint)
    return Location("hf" if path.is_dir() else "gguf", path)


def open_file(location: Location, *, allow_pickle: bool = False) -> ModelFile:
    """Open the file or folder, with all checks of its format. Raises BadModelFile, DiskError."""
    from zeropoint.weights import hf_folder, run_checkpoint

    path = location.path
    if location.kind == "run":
        return run_checkpoint.open_checkpoint(path)
    if location.kind == "hf":
        return hf_folder.open_hf_folder(path, allow_pickle=allow_pickle)
    if hf_folder.is_pickle(path):
        remedy = ", or give its folder with --allow-pickle"
        raise BadModelFile(f"{display_path(path)}: {hf_folder.PICKLES_RUN_CODE}{remedy}")
    if path.suffix == ".safetensors":
        raise BadModelFile(
            f"{display_path(path)} contains only weights; give its folder, which has config.json too"
        )
    return open_gguf(path)


def read_model(file: ModelFile) -> OpenedModel:
    """Read the blueprint of an opened file and map its tensors. Raises BadModelFile, DiskError."""
    from zeropoint.weights.hf_folder import HfFolder

    if isinstance(file, GgufModel):
        return _read_gguf(file)
    return _read_folder(file) if isinstance(file, HfFolder) else _read_checkpoint(file)


def gguf_blueprint(file: GgufModel) -> Blueprint:
    """The checked blueprint of a GGUF file, every tensor accounted for. Raises BadModelFile."""
    blueprint = _checked(families.for_gguf(file).from_gguf(file), file.name)
    _refuse_unknown_tensors(file, blueprint, families.gguf_sources(file, blueprint))
    return blueprint


def _refuse_unknown_tensors(
    file: GgufModel, blueprint: Blueprint, sources: Mapping[str, TensorSource]
) -> list[str]:
    """The stored tensors that no weight of ours is made of, all of which may be there.

    Ignoring any other, such as a bias or an adapter, would silently change every answer.
    """
    used = {name for source in sources.values() for name in stored_names(source)}
    unused = file.tensors.keys() - used
    repeats = find_duplicates(unused, families.duplicate_names("gguf", blueprint), sources)
    known = repeats.keys() | set(families.FACTOR_TENSORS) | families.gguf_copies(blueprint).keys()
    dropped = _matching(unused, getattr(families.for_blueprint(blueprint), "GGUF_DROPPED", ()))
    if unknown := unused - known - set(dropped):
        shown = _native.printable(min(unknown).encode())
        raise BadModelFile(
            f"{file.name}: tensor {shown} has no place in a {blueprint.family} model of {blueprint.n_layers} "
            "layers; such models are not supported yet"
        )
    check_duplicates(file, repeats)
    return sorted(unused)


def _read_gguf(file: GgufModel) -> OpenedModel:
    from zeropoint.weights.mapping import from_stored

    blueprint = _checked(families.for_gguf(file).from_gguf(file), file.name)
    sources = families.gguf_sources(file, blueprint)
    leftovers = map(re.escape, _refuse_unknown_tensors(file, blueprint, sources))
    weights = from_stored(file, sources, parameters(blueprint), leftovers=leftovers)
    return OpenedModel(blueprint, weights, families.for_blueprint(blueprint), file, sources)


def _read_folder(folder: HfFolder) -> OpenedModel:
    from zeropoint.weights.mapping import RenamedTensors, from_stored
    from zeropoint.weights.mxfp4_tensors import Mxfp4Tensors, has_mxfp4
    from zeropoint.weights.scaled_tensors import ScaledTensors, has_scales

    family = families.for_hf(folder.config, f"{folder.name}/config.json")
    blueprint = _checked(family.from_hf(folder.config), folder.name)
    stored: StoredTensors = RenamedTensors(
        folder.stored, getattr(family, "PREFIX", ""), getattr(family, "ALIASES", {})
    )
    left_out: list[str] = []
    if has_mxfp4(stored):
        stored = Mxfp4Tensors(stored)
    if has_scales(stored):
        stored = scaled = ScaledTensors(stored, folder.config.get("quantization_config"))
        left_out += scaled.left_out
    if hasattr(family, "fit_to_tensors"):
        blueprint = family.fit_to_tensors(blueprint, stored.tensors)
    sources = family.tensor_map(blueprint, "hf")
    dropped = (*getattr(family, "DROPPED", ()), *families.OTHER_PARTS)
    used = {name for source in sources.values() for name in stored_names(source)}
    left_out += _matching(stored.tensors.keys() - used, dropped)
    repeats = find_duplicates(
        stored.tensors.keys() - used, families.duplicate_names("hf", blueprint), sources
    )
    leftovers = [*getattr(family, "IGNORED", ()), *map(re.escape, [*left_out, *repeats])]
    weights = from_stored(stored, sources, parameters(blueprint), leftovers=leftovers)
    check_duplicates(stored, repeats)
    return OpenedModel(
        blueprint, weights, families.for_blueprint(blueprint), folder, sources, tuple(sorted(left_out))
    )


def _read_checkpoint(file: RunCheckpoint) -> OpenedModel:
    from zeropoint.weights.mapping import from_stored

    blueprint = _checked(file.blueprint, file.name)
    shapes = parameters(blueprint)
    sources: dict[str, TensorSource] = {name: Rename(name) for name in shapes}
    weights = from_stored(file.stored, sources, shapes)
    return OpenedModel(blueprint, weights, families.for_blueprint(blueprint), file, sources)


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    compiled = [re.compile(pattern) for pattern in patterns]
    return [name for name in names if any(pattern.fullmatch(name) for pattern in compiled)]


def _checked(blueprint: Blueprint, name: str) -> Blueprint:
    try:
        check(blueprint, name)
    except BadInput as error:
        raise BadModelFile(str(error)) from None
    return blueprint
