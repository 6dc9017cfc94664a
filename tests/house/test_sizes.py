"""Size limits: 400 lines for a file, 60 for a function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tree import NATIVE, ROOT, native_files

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
# A definition starts at the margin (namespaces are not indented); these have bodies but are not functions.
_NO_FUNCTION = re.compile(r"(namespace|struct|class|enum|union|extern|inline constexpr|constexpr|const)\b.*")


def python_files() -> list[Path]:
    """Every Python file, tests included."""
    return sorted(
        path for top in ("src", "tests", "benches", "docs", "native") for path in (ROOT / top).rglob("*.py")
    )


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(location, number of lines) of every function."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def native_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(location, number of lines) of every block from a line at the margin that ends in `{` to the next `}`
    there."""
    start = None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if start is None and line.endswith("{") and not line[0].isspace() and not _NO_FUNCTION.match(line):
            start = number
        elif start is not None and line.startswith("}"):
            yield f"{path}:{start}", number - start + 1
            start = None


def test_files() -> None:
    files = [path for path in native_files() if path.relative_to(NATIVE).parts[0] != "kernels"]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in python_files() + files}
    assert {str(path): n for path, n in lengths.items() if n > MAX_LINES} == {}


@pytest.mark.heavy
def test_functions() -> None:
    lengths = dict(found for path in python_files() for found in python_functions(path))
    lengths |= dict(found for path in native_files() for found in native_functions(path))
    assert {where: n for where, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}
    assert len(lengths) > 500  # the patterns above still match


def test_the_functions_of_a_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.cpp"
    path.write_text("namespace zp {\nint f(int x) {\n    if (x) {\n    }\n}\nstruct S {\n    int a;\n};\n}\n")
    assert list(native_functions(path)) == [(f"{path}:2", 4)]
