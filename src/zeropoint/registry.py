"""A folder is the list: its modules are the variants, and a file's name is the variant's name.

Nothing is declared twice: a new file appears in every list, flag and test with no other edit.
Listing never imports the modules, so that `zeropoint --help` stays fast.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

from zeropoint.errors import BadInput, choices

__all__ = ["load", "names", "source"]


def names(package: str) -> list[str]:
    """The public modules of `package` (a dotted name), sorted, none of them imported."""
    return sorted(m.name for m in pkgutil.iter_modules(_folders(package)) if not m.name.startswith("_"))


def load(package: str, name: str, kind: str | None = None) -> ModuleType:
    """Import the module `name` of `package`; a `-` in the name is read as `_`.

    kind: what to call it in the error ("command"); by default the last part of `package`.
    Raises BadInput naming the closest module where there is none of that name.
    """
    module = name.replace("-", "_")
    known = names(package)
    if module not in known:
        raise BadInput(choices(kind or package.rpartition(".")[2], name, known))
    return importlib.import_module(f"{package}.{module}")


def source(package: str, name: str) -> Path | None:
    """The source file of a module that is not to be imported, or None if it has none."""
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
