"""Find variants by folder: each public module of a package is one, and its file name is the variant's name.

A new file therefore appears in every list, flag and test with no other edit. Listing does not import the
modules, which keeps `zeropoint --help` fast.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from zeropoint.errors import BadInput, choices

__all__ = ["load", "load_class", "name_of", "names", "source"]

Base = TypeVar("Base")


def names(package: str) -> list[str]:
    """The public modules of `package` (a dotted name), sorted; imports none of them."""
    return sorted(m.name for m in pkgutil.iter_modules(_folders(package)) if not m.name.startswith("_"))


def load(package: str, name: str, kind: str | None = None) -> ModuleType:
    """Import the module `name` of `package`; a `-` in the name stands for `_`.

    kind: the noun for the error message ("command"); by default the last part of `package`.
    Raises BadInput naming the closest module if there is no such module.
    """
    module = name.replace("-", "_")
    known = names(package)
    if module not in known:
        raise BadInput(choices(kind or package.rpartition(".")[2], name, known))
    return importlib.import_module(f"{package}.{module}")


def load_class(package: str, name: str, base: type[Base], kind: str | None = None) -> type[Base]:
    """The subclass of `base` that the module `name` of `package` defines. Raises BadInput as `load`."""
    module = load(package, name, kind)
    defined = (value for value in vars(module).values() if isinstance(value, type))
    return next(cls for cls in defined if cls.__module__ == module.__name__ and issubclass(cls, base))


def name_of(variant: object) -> str:
    """The registered name of a variant's instance: the file name of the module that defines its class."""
    return type(variant).__module__.rpartition(".")[2]


def source(package: str, name: str) -> Path | None:
    """The source file of a module, without importing it; None if it has none."""
    for folder in _folders(package):
        for path in (Path(folder) / f"{name}.py", Path(folder) / name / "__init__.py"):
            if path.is_file():
                return path
    return None


def _folders(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"no package named '{package}'", name=package)
    return list(spec.submodule_search_locations)
