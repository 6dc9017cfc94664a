"""Published model families: one file each, named as GGUF or Hugging Face names the family.

A family turns metadata into a `Blueprint` and back, and says what each of our tensors is among the file's.
Foreign names live here and nowhere else. What a family may have:
`from_hf(config)`, `to_hf(blueprint)`: a Hugging Face config.json, as a mapping.
`from_gguf(model)`, `to_gguf(blueprint)`: GGUF metadata. `gguf_tensors(blueprint)`: small tensors beside the
weights that stand for metadata (factors of rotary frequencies).
`tensor_map(blueprint, kind)`: each of our tensors as a `Source`, in files of `kind` "hf" or "gguf".
`PREFIX`: what all stored names lack in a checkpoint saved without its head. `IGNORED`: regular expressions
of stored names that carry no weights (masks, frequencies); `LEFT_OUT`: of those that carry some for which our
model has no place, of which the reader is told. `REPEATED`: regular expressions of stored names that may be
there and hold a tensor of ours once more. `ALIASES`: endings of older names, and what they are today.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal, Protocol

from zeropoint import registry
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import TensorSource
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadModelFile, choices
from zeropoint.families._legacy import resolve_legacy

__all__ = [
    "FACTOR_TENSORS",
    "GgufMetadata",
    "Kind",
    "duplicate_names",
    "for_blueprint",
    "for_gguf",
    "for_hf",
    "gguf_sources",
]

Kind = Literal["hf", "gguf"]

# Tensors that are no weights but stand for metadata: what each rotary frequency is divided by.
FACTOR_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")

# Where Hugging Face's `model_type` is not the name that the family has here, which is GGUF's.
_MODEL_TYPES = {"phi": "phi2"}


class GgufMetadata(Protocol):
    """What a family reads of a GGUF file; `weights.gguf.GgufModel` is one. Getters raise BadModelFile."""

    @property
    def name(self) -> str: ...

    @property
    def paths(self) -> tuple[Any, ...]: ...

    @property
    def tensors(self) -> Any: ...

    def array(self, name: str) -> Any: ...

    def get_int(self, key: str, minimum: int, maximum: int, *, default: int = ...) -> int: ...

    def get_float(
        self, key: str, minimum: float = ..., maximum: float = ..., *, default: float = ...
    ) -> float: ...

    def get_str(self, key: str, *, default: str = ...) -> str: ...


def for_blueprint(blueprint: Blueprint) -> ModuleType:
    """The module of a blueprint's family. Raises BadInput for one that is in no file format."""
    return registry.load(__name__, blueprint.family, "family")


def for_gguf(model: GgufMetadata) -> ModuleType:
    """The family module that a file's `general.architecture` names. Raises BadModelFile for others."""
    architecture = model.get_str("general.architecture")
    # One architecture in GGUF, two families elsewhere.
    if architecture == "llama" and model.get_int("llama.expert_count", 0, 2**16, default=0):
        return registry.load(__name__, "mixtral")
    if architecture in registry.names(__name__) and architecture != "mixtral":
        module = registry.load(__name__, architecture)  # and no other: each takes time and memory
        if hasattr(module, "from_gguf"):
            return module
    names = _with("from_gguf").keys() - {"mixtral"}
    raise BadModelFile(f"{model.name}: {choices('general.architecture', architecture, names)}")


def gguf_sources(model: GgufMetadata, blueprint: Blueprint) -> dict[str, TensorSource]:
    """Each tensor of ours among those that a GGUF file has, also in the layouts of older files."""
    return resolve_legacy(for_gguf(model).tensor_map(blueprint, "gguf"), parameters(blueprint), model.tensors)


def for_hf(config: Mapping[str, Any], where: str = "config.json") -> ModuleType:
    """The family module that a config's `model_type` names. Raises BadModelFile for others.

    `auto_map` names Python files that come with a checkpoint; they are never run, ours are used.
    """
    theirs = {ours: theirs for theirs, ours in _MODEL_TYPES.items()}
    known = {theirs.get(ours, ours): module for ours, module in _with("from_hf").items()}
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in known:
        raise BadModelFile(f"{where}: {choices('model_type', json.dumps(model_type), known)}")
    if config.get("quantization_config") is not None:
        raise BadModelFile(f"{where}: `quantization_config` is set; give the checkpoint before quantisation")
    return known[model_type]


def _with(function: str) -> dict[str, ModuleType]:
    modules = {name: registry.load(__name__, name) for name in registry.names(__name__)}
    return {name: module for name, module in modules.items() if hasattr(module, function)}


def duplicate_names(kind: Kind, blueprint: Blueprint) -> dict[str, str]:
    """What a file may hold twice: regular expressions of stored names to the tensor of ours they must equal.

    A tied head is the embedding; what else a family's checkpoints repeat, it says in `REPEATED`.
    """
    if kind == "gguf":
        return {r"output\.weight": "embedding.weight"} if blueprint.is_tied else {}
    head = {r"lm_head\.weight": "embedding.weight"} if blueprint.is_tied else {}
    return head | getattr(for_blueprint(blueprint), "DUPLICATES", {})
