"""The files of the repository, for tests that read the repository itself."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

__all__ = ["NATIVE", "PYTHON", "ROOT", "SOURCE", "load_script", "native_files", "tracked_files"]

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "zeropoint"
NATIVE = ROOT / "native"
PYTHON = sorted(SOURCE.rglob("*.py"))

# Folders that tools create; nothing in them belongs to the repository.
_GENERATED = {
    ".git",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "build",
    "dist",
}
_BINARY = {".so", ".gguf", ".png", ".npz", ".npy", ".gz", ".pyc"}


def native_files() -> list[Path]:
    """Every C++ source and header."""
    return sorted(path for path in NATIVE.rglob("*") if path.suffix in (".cpp", ".hpp"))


def tracked_files() -> list[Path]:
    """Every text file of the repository (read from the folder, so that it works without git)."""
    found = []
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if not _is_generated(name)]
        names = [name for name in names if name not in _GENERATED and Path(name).suffix not in _BINARY]
        found += [Path(folder, name) for name in names]
    return sorted(path for path in found if path.is_file())


def _is_generated(folder: str) -> bool:
    return folder in _GENERATED or folder.startswith(".venv") or folder.endswith(".egg-info")


def load_script(path: Path) -> ModuleType:
    """Import a script that belongs to no package; its `__main__` part does not run."""
    spec = importlib.util.spec_from_file_location(f"zeropoint_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
