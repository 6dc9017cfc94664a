"""Imports go down only: the table assigns each package a floor, and the import graph is read from the source.

A new package needs a line here and one in ARCHITECTURE.md; a new dependency needs a reason.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tree import NATIVE, PYTHON, ROOT, SOURCE, native_files


@dataclass(frozen=True)
class Room:
    """floor: 0 is the lowest. beside: packages of the same floor that it may use. packages: dependencies.

    never: packages of lower floors that it must not use.
    """

    floor: int
    beside: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


ROOMS = {
    "errors": Room(0),
    "files": Room(0, ("errors",)),
    "frozen": Room(0),
    "markup": Room(0, ("frozen",)),
    "options": Room(0, ("errors", "frozen")),
    "engine_options": Room(0, ("errors", "frozen", "options", "_native")),
    "plotting": Room(0, ("errors",), ("matplotlib",)),
    "ray_cluster": Room(0, ("errors",), ("ray",)),
    "registry": Room(0, ("errors",)),
    "settings": Room(0, ("engine_options", "errors", "files", "frozen", "options"), ("platformdirs",)),
    "blueprint": Room(0, ("errors", "files", "frozen")),
    "_native": Room(0),
    "formats": Room(1, (), ("numpy",)),
    "families": Room(1),
    "weights": Room(1, ("families", "formats"), ("numpy", "safetensors", "torch")),
    "tokenizers": Room(1, ("weights",), ("jinja2", "numpy", "tokenizers")),
    "sampling": Room(1, (), ("numpy",)),
    "catalogue": Room(1, (), ("huggingface_hub", "platformdirs")),
    "layers": Room(2, (), ("torch",)),
    "models": Room(2, ("layers",), ("numpy", "torch")),
    "data": Room(1, ("catalogue", "tokenizers", "weights"), ("numpy", "pyarrow")),
    "decoding": Room(3, ("engine",), ("llguidance", "numpy", "torch")),
    "engine": Room(3, (), ("numpy", "torch")),
    "engine/session": Room(3, ("convert", "decoding", "engine", "planning"), ("numpy",)),
    "planning": Room(3, ("engine",)),
    "convert": Room(3, ("engine",), ("numpy", "tokenizers", "torch")),
    "inspect": Room(3, ("convert", "engine", "engine/session"), ("matplotlib", "numpy")),
    "train": Room(3, ("decoding", "engine"), ("jinja2", "matplotlib", "numpy", "plotext", "ray", "torch")),
    "tune": Room(3, ("convert", "engine", "train"), ("numpy", "torch")),
    "evaluate": Room(4, (), ("numpy", "sacrebleu", "torch"), never=("train", "tune")),
    "learn": Room(4, (), ("numpy", "torch")),
    "remote": Room(4, (), ("httpx2",)),
    "server": Room(4, (), ("httpx2", "ray", "starlette", "uvicorn"), never=("train",)),
    "cli": Room(5, (), ("click", "prompt_toolkit", "rich")),
}
# The extension is on floor 0, but only these packages use it.
KNOW_NATIVE = {"engine", "engine/session", "engine_options", "formats", "planning", "weights"}
NATIVE_ORDER = ["base", "formats", "kernels", "ops", "model", "runtime", "bind"]
NATIVE_OUTSIDE = {"tests", "fuzz"}  # may use any of these except bind
INSTRUCTION_SETS = {"scalar", "avx2", "avx512", "neon", "neon_dotprod"}
INTRINSICS = {
    "immintrin.h": {"avx2", "avx512", "x86"},
    "arm_neon.h": {"neon", "neon_dotprod", "arm"},
}


def room_of(path: Path) -> str:
    """The room of a source file: its package below the root, or a subpackage that has its own line."""
    return room_of_module(path.relative_to(SOURCE).with_suffix("").parts)


def room_of_module(parts: tuple[str, ...]) -> str:
    """The room of a module, given the parts of its name below `zeropoint`."""
    own = "/".join(parts[:2])
    return own if own in ROOMS else parts[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted module) of every import in a file, including those inside functions."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "zeropoint":
                yield from ((node.lineno, f"zeropoint.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


def own_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """(line, package) of every import from another package of zeropoint."""
    for line, module in imports(path):
        root, *parts = module.split(".")
        if root == "zeropoint" and parts and parts[0] in ROOMS:
            room = room_of_module(tuple(parts))
            if room != room_of(path):
                yield line, room


def includes(path: Path) -> Iterator[tuple[int, str]]:
    """(line, header) of every #include, quoted or in angle brackets."""
    for line, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if found := re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', text):
            yield line, found[1]


def test_every_package_has_a_floor_and_is_documented() -> None:
    existing = {room_of(path) for path in PYTHON} - {"__init__", "__main__"}
    assert existing | {"_native"} == set(ROOMS)
    guide = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert [room for room in ROOMS if f"`{room}" not in guide] == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    name = room_of(path)
    if name in ("__init__", "__main__"):
        return  # the public names and `python -m zeropoint` are above all floors
    room, crossed = ROOMS[name], []
    for line, other in own_rooms(path):
        if ROOMS[other].floor > room.floor or (ROOMS[other].floor == room.floor and other not in room.beside):
            crossed.append(f"{path}:{line} imports {other}")
        if other in room.never:
            crossed.append(f"{path}:{line} imports {other}; {name} must not depend on it")
        if other == "_native" and name not in KNOW_NATIVE:
            crossed.append(f"{path}:{line} imports _native; go through one of {sorted(KNOW_NATIVE)}")
    assert crossed == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_are_absolute_and_packages_are_listed(path: Path) -> None:
    """Only dependencies in the table are imported; test_base_install shows that chat needs no torch."""
    room = ROOMS.get(room_of(path), Room(0))
    known = {"zeropoint", *room.packages, *sys.stdlib_module_names}
    assert [f"{path}:{line} imports {m}" for line, m in imports(path) if m.split(".")[0] not in known] == []


def test_the_contract_knows_no_engine() -> None:
    found = [module for _, module in imports(SOURCE / "engine" / "contract.py")]
    assert [module for module in found if module.startswith("zeropoint.engine")] == []


@pytest.mark.parametrize("path", native_files(), ids=lambda path: str(path.relative_to(NATIVE)))
def test_includes_go_down(path: Path) -> None:
    room = path.relative_to(NATIVE).parts[0]
    allowed = NATIVE_ORDER[:-1] if room in NATIVE_OUTSIDE else NATIVE_ORDER[: NATIVE_ORDER.index(room) + 1]
    crossed = []
    for line, header in includes(path):
        top = header.split("/")[0]
        if top in NATIVE_ORDER and top not in allowed:
            crossed.append(f"{path}:{line} includes {header}")
        if (header.startswith("nanobind") or header == "Python.h") and room != "bind":
            crossed.append(f"{path}:{line} includes {header}; Python may only be used in bind/")
    assert crossed == []


def test_an_instruction_set_knows_no_other() -> None:
    crossed = []
    for path in native_files():
        own = path.parent.name
        for line, header in includes(path):
            parts = header.split("/")
            if parts[0] == "kernels" and parts[1] in INSTRUCTION_SETS - {own}:
                crossed.append(f"{path}:{line} includes {header}")
            if own not in INTRINSICS.get(header, {own}):
                crossed.append(f"{path}:{line} includes {header}; intrinsics belong in kernels/<set>/")
    assert crossed == []
