"""No module imports itself through others, not even with an import inside a function.

Imports under `if TYPE_CHECKING:` do not count: they never run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support.tree import PYTHON, SOURCE


def module_name(parts: tuple[str, ...]) -> str:
    """The dotted name of a source file, given the parts of its path below the package, without ".py"."""
    return ".".join(("zeropoint", *parts)).removesuffix(".__init__")


MODULES = {module_name(path.relative_to(SOURCE).with_suffix("").parts): path for path in PYTHON}
KNOWN = {*MODULES, "zeropoint._native"}


def imported_modules(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Every module of `known` that a syntax tree imports, wherever the statement is."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in known:
                    yield submodule
                elif node.module in known:
                    yield node.module
        yield from imported_modules(node, known)


def find_cycle(imports: Mapping[str, set[str]]) -> list[str]:
    """The modules of one import cycle, the first repeated at the end; empty if there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.heavy
def test_no_module_imports_itself_through_others() -> None:
    imports = {
        name: set(imported_modules(ast.parse(path.read_bytes()), KNOWN)) - {name}
        for name, path in MODULES.items()
    }
    assert sum(map(len, imports.values())) > 1000  # the graph is really read
    assert find_cycle(imports) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from pkg import b", {"pkg.b"}),
        ("def f():\n    import pkg.b", {"pkg.b"}),
        ("from pkg.b import thing", {"pkg.b"}),
        ("if TYPE_CHECKING:\n    from pkg import b", set()),
    ],
)
def test_imports_are_found_where_they_run(source: str, expected: set[str]) -> None:
    assert set(imported_modules(ast.parse(source), {"pkg", "pkg.b"})) == expected


def test_a_cycle_is_found() -> None:
    assert set(find_cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})) == {"a", "b", "c"}
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
