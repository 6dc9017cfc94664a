"""The files of the repository, for tests that read the house itself."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NATIVE", "PYTHON", "ROOT", "SOURCE", "native_files", "tracked_files"]

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "zeropoint"
NATIVE = ROOT / "native"
PYTHON = sorted(SOURCE.rglob("*.py"))

# Folders that tools make; nothing in them is ours.
_MADE = {".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "build", "dist"}
_BINARY = {".so", ".gguf", ".png", ".npz", ".npy", ".gz", ".pyc"}


def native_files() -> list[Path]:
    """Every C++ source and header."""
    return sorted(path for path in NATIVE.rglob("*") if path.suffix in (".cpp", ".hpp"))


def tracked_files() -> list[Path]:
    """Every text file of the repository (read from the folder, so that it works without git)."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        is_made = any(
            part in _MADE or part.startswith(".venv") or part.endswith(".egg-info") for part in parts
        )
        if path.is_file() and not is_made and path.suffix not in _BINARY:
            found.append(path)
    return sorted(found)
