"""Errors are sentences for users: the product contains no `assert`, and nothing aborts the process."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.tree import NATIVE, PYTHON, native_files

_ENDS = re.compile(r"(?<![\w.:])(?:std::)?(?:abort|terminate|_?exit|assert)\s*\(")


@pytest.mark.heavy
def test_python_has_no_assert() -> None:
    found = []
    for path in PYTHON:
        lines = [
            node.lineno for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Assert)
        ]
        found += [f"{path}:{line}" for line in lines]
    assert found == []


def test_native_code_ends_no_process() -> None:
    found = []
    for path in native_files():
        if path.relative_to(NATIVE).parts[0] in ("tests", "fuzz"):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if _ENDS.search(line.partition("//")[0]):
                found.append(f"{path}:{number} {line.strip()}")
    assert found == []
