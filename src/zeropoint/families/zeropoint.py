"""Our own GGUF architecture: the complete blueprint in one metadata value, every tensor under our name.

For models of no published family: built by hand, or trained with a custom combination of parts. Only
zeropoint reads these files; prefer a model's own family if it has one.
"""

from __future__ import annotations

from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.io import from_toml, to_toml
from zeropoint.blueprint.sources import Rename, TensorSource
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.families import GgufMetadata, Kind

__all__ = ["from_gguf", "gguf_tensors", "tensor_map", "to_gguf"]

_KEY = "zeropoint.blueprint"


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the problem."""
    try:
        return from_toml(model.get_str(_KEY), f"metadata `{_KEY}`")
    except BadModelFile:
        raise
    except BadInput as error:
        raise BadModelFile(f"{model.name}: {error}") from None


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """Metadata from which `from_gguf` restores the same blueprint."""
    return {"general.architecture": "zeropoint", _KEY: to_toml(blueprint)}


def gguf_tensors(blueprint: Blueprint) -> dict[str, tuple[float, ...]]:
    """None: the blueprint is complete."""
    return {}


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """Every tensor under its own name, in GGUF only."""
    if kind != "gguf":
        raise BadInput(f"{blueprint.family} models have no Hugging Face format; convert to GGUF")
    return {name: Rename(name) for name in parameters(blueprint)}
