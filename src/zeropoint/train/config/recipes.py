"""The recipes: configurations of training runs that come with the package. Listing them imports no torch."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["recipe_text", "recipes"]

_FOLDER = files("zeropoint.train") / "recipes"


def recipes() -> list[str]:
    """The names of the recipes, sorted."""
    return sorted(f.name.removesuffix(".toml") for f in _FOLDER.iterdir() if f.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The TOML text of one of them."""
    return (_FOLDER / f"{name}.toml").read_text("utf-8")
