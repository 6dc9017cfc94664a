"""Data sets by name: the order of search, downloads, locks, and verification of every file."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
from pathlib import Path

import pytest

from zeropoint.catalogue import cache, datasets
from zeropoint.catalogue.download.progress import no_notice
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.settings import Settings

from .conftest import Site

TEXT = b"To be, or not to be.\n" * 3000
PAIRS = {"a.txt.gz": b"\x1f\x8b" + b"a" * 5000, "b.txt.gz": b"\x1f\x8b" + b"b" * 7000}


def listed(name: str, files: dict[str, bytes], address: str, folder: str = "") -> str:
    """The TOML of one data set."""
    text = f'[[data]]\nname = "{name}"\ndescription = "d"\nlicence = "free"\nfolder = "{folder}"\n'
    for file, body in files.items():
        text += f'[[data.file]]\nfile = "{file}"\nurl = "{address}/{file}"\nn_bytes = {len(body)}\n'
        text += f'sha256 = "{hashlib.sha256(body).hexdigest()}"\n'
    return text


@pytest.fixture(autouse=True)
def _served(site: Site, home: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZEROPOINT_DATA", raising=False)
    site.files = {"/play.txt": TEXT} | {f"/{file}": body for file, body in PAIRS.items()}
    address = site.address("")
    text = listed("play", {"play.txt": TEXT}, address) + listed("pairs", PAIRS, address, "pairs")
    parsed = datasets.read(text, "test.toml")
    monkeypatch.setattr(datasets, "load", lambda: parsed)


def test_a_data_set_is_downloaded_once(site: Site) -> None:
    assert not datasets.is_local("play")
    path = datasets.fetch("play")["play.txt"]
    assert path.read_bytes() == TEXT
    assert datasets.fetch("PLAY") == {"play.txt": path}
    assert len(site.requests) == 1
    assert datasets.is_local("play")


def test_several_files_share_one_progress(site: Site) -> None:
    calls: list[tuple[int | None, int]] = []
    paths = datasets.fetch("pairs", progress=lambda total, done: calls.append((total, done)))
    assert {file: path.read_bytes() for file, path in paths.items()} == PAIRS
    assert calls[-1] == (12004, 12004)


def test_a_copy_in_zeropoint_data_takes_precedence(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROPOINT_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine" / "pairs").mkdir(parents=True)
    for file, body in PAIRS.items():
        (tmp_path / "mine" / "pairs" / file).write_bytes(body)
    assert datasets.fetch("pairs", offline=True)["a.txt.gz"] == tmp_path / "mine" / "pairs" / "a.txt.gz"
    assert site.requests == []


def test_a_copy_with_other_content_is_skipped(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROPOINT_DATA", str(tmp_path))
    (tmp_path / "play.txt").write_bytes(TEXT[:-1] + b"!")
    notices: list[str] = []
    assert datasets.fetch("play", notice=notices.append)["play.txt"].read_bytes() == TEXT
    assert "skipping play.txt in the " in notices[0]
    assert ": the file's sha256 is" in notices[0]
    (tmp_path / "play.txt").write_bytes(TEXT[:-1])
    assert datasets.fetch("play")["play.txt"].read_bytes() == TEXT


def test_a_changed_file_in_the_cache_is_downloaded_again(site: Site) -> None:
    path = datasets.fetch("play")["play.txt"]
    path.write_bytes(b"x" * len(TEXT))
    assert datasets.fetch("play")["play.txt"].read_bytes() == TEXT
    assert len(site.requests) == 2


def test_an_interrupted_download_is_resumed(site: Site) -> None:
    site.faults = [lambda handler: handler.serve(TEXT, cut=9000)]
    assert datasets.fetch("play")["play.txt"].read_bytes() == TEXT
    assert site.requests[1][2]["Range"] == "bytes=9000-"


def test_an_unknown_hash_is_recorded_at_the_first_download(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = listed("play", {"play.txt": TEXT}, site.address(""))
    known = datasets.read(re.sub(r'sha256 = "\w+"', 'sha256 = ""', text).replace("63000", "5"), "test.toml")
    monkeypatch.setattr(datasets, "load", lambda: known)
    path = datasets.fetch("play")["play.txt"]
    assert datasets.is_local("play")
    path.write_bytes(b"x" * len(TEXT))
    notices: list[str] = []
    assert datasets.fetch("play", notice=notices.append)["play.txt"].read_bytes() == TEXT
    assert "skipping play.txt in the " in notices[0]
    assert ": the file's sha256 is" in notices[0]
    assert len(site.requests) == 2


def test_wrong_content_is_rejected(site: Site, home: Path) -> None:
    site.files["/play.txt"] = TEXT[:-1] + b"!"
    with pytest.raises(
        NetworkError,
        match=r"could not fetch play\.txt .* sha256 .* or save it as play.txt in the folder ZEROPOINT_DATA",
    ):
        datasets.fetch("play")
    assert [path.name for path in (home / "data" / "play").iterdir()] == []


def test_the_offline_error_gives_the_remedy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_OFFLINE", "1")
    with pytest.raises(NetworkError, match="ZEROPOINT_DATA"):
        datasets.fetch("play")
    assert site.requests == []


def _hold(folder: str, ready: object, done: object) -> None:
    with cache.hold(Path(folder), "x", no_notice):
        ready.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_a_second_fetch_waits_and_names_the_holder(site: Site, home: Path) -> None:
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    ready, done = context.Event(), context.Event()
    folder = home / "data" / "play"
    holder = context.Process(target=_hold, args=(str(folder), ready, done))
    holder.start()
    ready.wait(30)
    notices: list[str] = []

    def hear(text: str) -> None:
        notices.append(text)
        done.set()

    datasets.fetch("play", notice=hear)
    holder.join()
    assert f"is being fetched by process {holder.pid}" in notices[0]


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(BadInput, match=r"unknown data set `plya`.*closest: play.*path"):
        datasets.fetch("plya")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence", "license", "closest: licence"),
        ("n_bytes = 63000", 'n_bytes = "63000"', r'`n_bytes` is "63000"; expected an integer'),
        ("n_bytes = 63000", "n_bytes = 0", "`n_bytes` above 0"),
        ('sha256 = "', 'sha256 = "X', "64 hexadecimal digits"),
        ('"play.txt"', '"../play.txt"', "plain names"),
        ('name = "play"', 'name = "a/b"', "malformed"),
        ("[[data]]", "[[data", "is not valid TOML"),
    ],
)
def test_an_invalid_list_is_rejected(old: str, new: str, message: str) -> None:
    text = listed("play", {"play.txt": TEXT}, "http://127.0.0.1")
    assert old in text
    with pytest.raises(BadInput, match=message):
        datasets.read(text.replace(old, new), "test.toml")


def test_the_list_of_the_package_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    known = datasets.read(datasets._FILE.read_text("utf-8"), "data.toml")
    assert {"harbour", "shakespeare", "multi30k", "instructions"} <= set(known)
    shakespeare = known["shakespeare"].files[0]
    assert shakespeare.n_bytes == 1_115_394
    assert shakespeare.sha256 == "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    assert len(known["multi30k"].files) == 6
    assert all(file.url.startswith("https://") for data in known.values() for file in data.files if file.url)


def test_bundled_data_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    settings = Settings.read({"offline": True})
    path = datasets.fetch("harbour", settings=settings)["harbour.txt"]
    assert path.read_text("utf-8").startswith("The harbour at Selmouth")
    monkeypatch.setattr(datasets, "_BUNDLED", tmp_path)
    with pytest.raises(DiskError, match="reinstall zeropoint"):
        datasets.fetch("harbour", settings=settings)
