"""A folder is the list: found without importing, loaded by name, refused with the closest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeropoint import registry
from zeropoint.errors import BadInput


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "shelf_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "two_words.py").write_text("value = 2\n")
    (folder / "broken.py").write_text("raise RuntimeError\n")
    (folder / "_private.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield "shelf_of_tests"
    for name in [name for name in sys.modules if name.startswith("shelf_of_tests")]:
        del sys.modules[name]


def test_names_imports_no_module(package: str) -> None:
    assert registry.names(package) == ["broken", "two_words"]
    assert f"{package}.two_words" not in sys.modules


def test_load_takes_a_hyphen_for_an_underscore(package: str) -> None:
    assert registry.load(package, "two-words").value == 2


def test_an_unknown_name_is_refused_with_the_closest(package: str) -> None:
    with pytest.raises(BadInput, match=r"unknown shelf_of_tests `two_word`; expected .*closest: two_words"):
        registry.load(package, "two_word")
    with pytest.raises(BadInput, match="unknown variant"):
        registry.load(package, "_private", "variant")


def test_source_finds_the_file_of_a_module(package: str) -> None:
    assert registry.source(package, "broken").read_text() == "raise RuntimeError\n"
    assert registry.source(package, "none") is None


def test_an_unknown_package_is_our_own_mistake() -> None:
    with pytest.raises(ModuleNotFoundError, match="no package named 'no_such_shelf'"):
        registry.names("no_such_shelf")
