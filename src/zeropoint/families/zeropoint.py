"""Files of our own: any blueprint whole in one metadata value, any tensor under our name.

For models that are in no published family: made by hand, or trained here with parts of one's choosing. Only
zeropoint reads them; a model that has a family is better written in that family's form.
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
    """The blueprint in a file's metadata. Raises BadModelFile naming what is wrong in it."""
    try:
        return from_toml(model.get_str(_KEY), f"metadata `{_KEY}`")
    except BadModelFile:
        raise
    except BadInput as error:
        raise BadModelFile(f"{model.name}: {error}") from None


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """Metadata that `from_gguf` reads back to the same blueprint."""
    return {"general.architecture": "zeropoint", _KEY: to_toml(blueprint)}


def gguf_tensors(blueprint: Blueprint) -> dict[str, tuple[float, ...]]:
    """None: the blueprint says all of it."""
    return {}


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """Every tensor under its own name, in GGUF files alone."""
    if kind != "gguf":
        raise BadInput(f"{blueprint.family} models have no Hugging Face form; convert to GGUF")
    return {name: Rename(name) for name in parameters(blueprint)}
