"""A copy of the package in its own folder, and programs that run with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import zeropoint._native
from tests.support.tree import NATIVE, ROOT, SOURCE

__all__ = ["copy_tree", "probe", "run"]

# An editable install finds the package before PYTHONPATH does; Python runs this at start-up, after its hook.
_SITECUSTOMIZE = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
"""


def copy_tree(folder: Path) -> Path:
    """Copy the package with its extension, and the native sources, into a folder; returns the folder."""
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.tmp")
    shutil.copytree(SOURCE, folder / "src" / "zeropoint", ignore=ignore)
    shutil.copytree(NATIVE, folder / "native", ignore=ignore)
    shutil.copy2(zeropoint._native.__file__, folder / "src" / "zeropoint")
    (folder / "src" / "sitecustomize.py").write_text(_SITECUSTOMIZE, "utf-8")
    return folder


def run(command: Sequence[str | Path], copy: Path) -> str:
    """The stdout of a command that must succeed, run inside a copy and importing it."""
    path = os.pathsep.join([str(copy / "src"), str(ROOT)])
    home = {"ZEROPOINT_HOME": str(copy / "home"), "PYTHONPATH": path, "COLUMNS": "200", "NO_COLOR": "1"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ZEROPOINT_")} | home
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def probe(text: str, copy: Path) -> None:
    """Run a program of assertions in which `zeropoint` is the copy and warnings are errors."""
    guard = f"import zeropoint\nassert zeropoint.__file__.startswith({str(copy)!r}), zeropoint.__file__\n"
    (copy / "probe.py").write_text(guard + text, "utf-8")
    run([sys.executable, "-W", "error", "probe.py"], copy)
