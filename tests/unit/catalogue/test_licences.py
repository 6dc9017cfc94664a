"""Licences that a user accepts once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from zeropoint.catalogue import catalog, fetch, licences
from zeropoint.errors import BadInput
from zeropoint.settings import Settings

from .conftest import MODEL, Site, catalogue, url_source

GEMMA = "Gemma Terms of Use"
BINDING_NOTHING = {"Apache-2.0", "MIT"}


@pytest.fixture
def tiny(
    site: Site, home: Path, use: Callable[[str], catalog.CatalogEntry], quick: None
) -> catalog.CatalogEntry:
    """The model tiny:1 under the Gemma Terms of Use."""
    site.files["/m.gguf"] = MODEL
    return use(catalogue(url_source(site.address("/m.gguf"))).replace('"MIT"', f'"{GEMMA}"'))


def test_every_model_has_a_licence_that_is_known() -> None:
    names = {entry.licence for entry in catalog.load().values()}
    assert names <= BINDING_NOTHING | set(licences.load())
    for licence in licences.load().values():
        assert licence.url.startswith("https://")


def test_a_licence_that_nobody_accepted_stops_the_download(site: Site, tiny: catalog.CatalogEntry) -> None:
    with pytest.raises(BadInput) as caught:
        fetch.resolve("tiny:1")
    assert str(caught.value) == (
        "tiny:1 is under the Gemma Terms of Use (https://ai.google.dev/gemma/terms); read the terms, then "
        "accept them with `zeropoint models pull tiny:1 --accept-licence` or ZEROPOINT_ACCEPT_LICENCE=gemma"
    )
    with pytest.raises(BadInput, match="is under the Gemma Terms"):
        fetch.resolve("tiny:1", ask_licence=lambda licence, model: False)
    assert site.requests == []


def test_the_answer_is_remembered_for_the_licence(tiny: catalog.CatalogEntry, home: Path) -> None:
    questions: list[tuple[str, str]] = []

    def ask(licence: licences.Licence, model: str) -> bool:
        questions.append((licence.id, model))
        return True

    assert fetch.resolve("tiny:1", ask_licence=ask).path.read_bytes() == MODEL
    fetch.remove("tiny:1")
    fetch.resolve("tiny:1", ask_licence=ask)
    licences.require(GEMMA, "another model", Settings.read())
    assert questions == [("gemma", "tiny:1")]
    assert list(json.loads((home / "licences.json").read_text())["accepted"]) == ["gemma"]


def test_a_setting_accepts_licences(tiny: catalog.CatalogEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    licence = licences.load()[GEMMA]
    monkeypatch.setenv("ZEROPOINT_ACCEPT_LICENCE", "llama3.2, gemma")
    assert licences.is_accepted(licence, Settings.read())
    fetch.resolve("tiny:1")
    monkeypatch.delenv("ZEROPOINT_ACCEPT_LICENCE")
    assert licences.is_accepted(licence, Settings.read())
    assert not licences.is_accepted(licences.load()["Llama 3.2 Community License"], Settings.read())


def test_an_unknown_licence_in_the_setting_is_an_error(
    tiny: catalog.CatalogEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROPOINT_ACCEPT_LICENCE", "gema")
    with pytest.raises(BadInput, match=r"ZEROPOINT_ACCEPT_LICENCE: unknown licence `gema`.*closest: gemma"):
        fetch.resolve("tiny:1")


@pytest.mark.parametrize("content", ["", "[]", '{"accepted": 1}', '{"accepted": [', "\x00" * 9])
def test_a_damaged_record_asks_again(home: Path, content: str) -> None:
    home.mkdir()
    (home / "licences.json").write_text(content)
    with pytest.raises(BadInput, match="read the terms"):
        licences.require(GEMMA, "tiny:1", Settings.read())
    licences.require(GEMMA, "tiny:1", Settings.read(), lambda licence, model: True)
    licences.require(GEMMA, "tiny:1", Settings.read())


def test_licences_accepted_at_the_same_time_are_all_remembered(home: Path) -> None:
    def accept(name: str) -> None:
        licences.require(name, "tiny:1", Settings.read(), lambda licence, model: True)

    threads = [threading.Thread(target=accept, args=(name,)) for name in licences.load()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(licences.is_accepted(licence, Settings.read()) for licence in licences.load().values())


def test_other_licences_need_no_answer(home: Path) -> None:
    licences.require("Apache-2.0", "tiny:1", Settings.read())
    licences.require(None, "tiny:1", Settings.read())
    assert not home.exists()
