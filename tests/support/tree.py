"""The files of the repository, for tests that read the repository itself."""

from __future__ import annotations

import importlib.util
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
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        is_generated = any(
            part in _GENERATED or part.startswith(".venv") or part.endswith(".egg-info") for part in parts
        )
        if path.is_file() and not is_generated and path.suffix not in _BINARY:
            found.append(path)
    return sorted(found)


def load_script(path: Path) -> ModuleType:
    """Import a script that belongs to no package; its `__main__` part does not run."""
    spec = importlib.util.spec_from_file_location(f"zeropoint_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
