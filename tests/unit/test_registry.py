"""Variants by folder: listed without importing, loaded by name, unknown names suggest the closest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeropoint import registry
from zeropoint.errors import BadInput


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "registry_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "two_words.py").write_text("class Wide(dict):\n    value = 2\n\n\nvalue = 2\n")
    (folder / "broken.py").write_text("raise RuntimeError\n")
    (folder / "_private.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "registry_of_tests"
    for name in [name for name in sys.modules if name.startswith("registry_of_tests")]:
        del sys.modules[name]


def test_names_imports_no_module(package: str) -> None:
    assert registry.names(package) == ["broken", "two_words"]
    assert f"{package}.two_words" not in sys.modules


def test_load_takes_a_hyphen_for_an_underscore(package: str) -> None:
    assert registry.load(package, "two-words").value == 2


def test_load_class_finds_the_subclass_that_the_module_defines(package: str) -> None:
    assert registry.load_class(package, "two-words", dict).__name__ == "Wide"
    with pytest.raises(BadInput, match="closest: two_words"):
        registry.load_class(package, "two_word", dict)


def test_an_unknown_name_suggests_the_closest(package: str) -> None:
    with pytest.raises(
        BadInput, match=r"unknown registry_of_tests `two_word`; expected .*closest: two_words"
    ):
        registry.load(package, "two_word")
    with pytest.raises(BadInput, match="unknown variant"):
        registry.load(package, "_private", "variant")


def test_source_finds_the_file_of_a_module(package: str) -> None:
    assert registry.source(package, "broken").read_text() == "raise RuntimeError\n"
    assert registry.source(package, "none") is None


def test_an_unknown_package_is_a_programming_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no package named 'no_such_package'"):
        registry.names("no_such_package")
