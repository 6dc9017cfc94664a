"""Blueprints of published models and of the lessons, one TOML file each: `catalog/NAME.toml`."""

from __future__ import annotations

from importlib.resources import files

from zeropoint.blueprint.io import from_toml
from zeropoint.blueprint.spec import Blueprint
from zeropoint.errors import BadInput, choices

__all__ = ["load", "names"]

_SUFFIX = ".toml"
_FOLDER = files("zeropoint.blueprint") / "catalog"


def names() -> list[str]:
    """Every name that `load` accepts, sorted."""
    return sorted(
        file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX)
    )


def load(name: str) -> Blueprint:
    """The blueprint with this name. Raises BadInput naming the closest one."""
    if name not in names():
        raise BadInput(choices("blueprint", name, names()))
    return from_toml((_FOLDER / f"{name}{_SUFFIX}").read_text("utf-8"), name)
