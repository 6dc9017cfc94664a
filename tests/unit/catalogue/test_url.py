"""Downloads from a URL: interrupted, wrong, hostile and slow servers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from zeropoint.catalogue.download import download_files, http_client
from zeropoint.catalogue.download.progress import no_progress
from zeropoint.catalogue.source import FileRequest
from zeropoint.catalogue.sources.url import UrlSource
from zeropoint.errors import DiskError, NetworkError
from zeropoint.files import disk_space

from .conftest import MODEL, SHA256, Handler, Site

REQUEST = FileRequest("m.gguf", len(MODEL), SHA256)
UNKNOWN = FileRequest("m.gguf")


def fetch(site: Site, folder: Path, file_request: FileRequest = REQUEST) -> bytes:
    fetched = UrlSource(site.address("/m.gguf")).fetch(file_request, folder, no_progress)
    assert fetched.sha256 == SHA256
    assert [path.name for path in folder.iterdir()] == ["m.gguf"]
    return fetched.path.read_bytes()


@pytest.fixture(autouse=True)
def _served(site: Site, quick: None) -> None:
    site.files["/m.gguf"] = MODEL


@pytest.mark.parametrize("file_request", [REQUEST, UNKNOWN])
def test_a_download_reports_progress(site: Site, tmp_path: Path, file_request: FileRequest) -> None:
    calls: list[tuple[int | None, int]] = []
    UrlSource(site.address("/m.gguf")).fetch(
        file_request, tmp_path, lambda total, done: calls.append((total, done))
    )
    assert calls[0] == (len(MODEL), 0)
    assert calls[-1] == (len(MODEL), len(MODEL))


@pytest.mark.parametrize("file_request", [REQUEST, UNKNOWN])
def test_resumes_after_an_interruption_at_99_percent(
    site: Site, tmp_path: Path, file_request: FileRequest
) -> None:
    cut = len(MODEL) * 99 // 100
    site.faults = [lambda handler: handler.serve(MODEL, cut=cut)]
    assert fetch(site, tmp_path, file_request) == MODEL
    assert site.requests[1][2]["Range"] == f"bytes={cut}-"


@pytest.mark.parametrize("cut", [0, 1, 4, 65536, len(MODEL) - 1])
def test_a_later_call_resumes_from_any_byte(site: Site, tmp_path: Path, cut: int) -> None:
    site.faults = [lambda handler: handler.serve(MODEL, cut=cut), lambda handler: handler.answer(404, b"")]
    with pytest.raises(NetworkError, match="404"):
        fetch(site, tmp_path)
    assert not (tmp_path / "m.gguf").exists()
    assert fetch(site, tmp_path) == MODEL


def test_a_part_of_another_version_is_not_resumed(site: Site, tmp_path: Path) -> None:
    old = b"GGUF" + b"old" * 1000
    site.faults = [lambda handler: handler.serve(old, cut=900), lambda handler: handler.answer(404, b"")]
    with pytest.raises(NetworkError):
        fetch(site, tmp_path, UNKNOWN)
    assert fetch(site, tmp_path, UNKNOWN) == MODEL
    assert site.requests[-1][2]["Range"] == "bytes=900-"


def test_a_damaged_part_is_discarded(site: Site, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.part").write_bytes(b"x" * 5000)
    assert fetch(site, tmp_path) == MODEL
    assert [request[2].get("Range") for request in site.requests] == ["bytes=5000-", None]


def test_a_part_longer_than_the_file_is_discarded(site: Site, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.part").write_bytes(b"x" * (len(MODEL) + 1))
    assert fetch(site, tmp_path) == MODEL
    (tmp_path / "m.gguf.part").write_bytes(b"x" * len(MODEL))
    assert fetch(site, tmp_path) == MODEL


def test_a_server_without_ranges_restarts_the_download(site: Site, tmp_path: Path) -> None:
    site.faults = [
        lambda handler: handler.serve(MODEL, cut=5000),
        lambda handler: handler.answer(200, MODEL),
    ]
    assert fetch(site, tmp_path) == MODEL


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_temporary_errors_are_retried(site: Site, tmp_path: Path, status: int) -> None:
    site.faults = [lambda handler: handler.answer(status, b"", {"Retry-After": "1"})]
    assert fetch(site, tmp_path) == MODEL


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
def test_permanent_errors_are_not_retried_forever(site: Site, tmp_path: Path, status: int) -> None:
    site.faults = [lambda handler: handler.answer(status, b"")] * 9
    with pytest.raises(NetworkError, match=f"HTTP {status}"):
        fetch(site, tmp_path)
    assert len(site.requests) <= 3
    assert list(tmp_path.iterdir()) == []


def test_a_long_retry_after_fails_at_once(site: Site, tmp_path: Path) -> None:
    site.faults = [lambda handler: handler.answer(429, b"", {"Retry-After": "3600"})]
    with pytest.raises(NetworkError, match="too many requests"):
        fetch(site, tmp_path)


def test_a_wrong_length_is_rejected(site: Site, tmp_path: Path) -> None:
    site.files["/m.gguf"] = MODEL + b"!"
    with pytest.raises(NetworkError, match="1,024,005 bytes instead of 1,024,004"):
        fetch(site, tmp_path)


def test_a_wrong_sha256_is_rejected(site: Site, tmp_path: Path) -> None:
    site.files["/m.gguf"] = MODEL[:-1] + b"!"
    with pytest.raises(NetworkError, match="sha256"):
        fetch(site, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_announced_are_rejected(site: Site, tmp_path: Path) -> None:
    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()  # no length: the end of the connection is the end of the file
        handler.close_connection = True
        for _ in range(64):
            handler.wfile.write(MODEL)

    site.faults = [endless]
    with pytest.raises(NetworkError, match="more than the announced 1,024,004 bytes"):
        fetch(site, tmp_path)


@pytest.mark.parametrize("file_request", [REQUEST, UNKNOWN])
def test_an_html_page_is_rejected(site: Site, tmp_path: Path, file_request: FileRequest) -> None:
    page = b"<html>Welcome to the hotel</html>"
    site.faults = [lambda handler: handler.answer(200, page, {"Content-Type": "text/html; charset=utf-8"})]
    with pytest.raises(NetworkError, match="web page"):
        fetch(site, tmp_path, file_request)


def test_a_page_without_a_content_type_is_rejected(site: Site, tmp_path: Path) -> None:
    site.files["/m.gguf"] = b"<html>Welcome</html>"
    with pytest.raises(NetworkError, match="not a GGUF file"):
        fetch(site, tmp_path, UNKNOWN)
    assert list(tmp_path.iterdir()) == []


def test_credentials_are_sent_only_to_their_host(site: Site) -> None:
    site.files["/there"] = MODEL
    away, back = site.address("/there", "localhost"), site.address("/there")
    for target, is_kept in ((away, False), (back, True)):
        site.faults = [lambda handler, target=target: handler.answer(302, b"", {"Location": target})]
        head, total = http_client.read_head(site.address("/m.gguf"), {"Authorization": "Bearer secret"}, 100)
        assert (head, total) == (MODEL[:100], len(MODEL))
        assert ("Authorization" in site.requests[-1][2]) is is_kept


def test_redirects_are_limited_in_number_and_scheme(site: Site, tmp_path: Path) -> None:
    here = site.address("/m.gguf")
    site.faults = [lambda handler: handler.answer(302, b"", {"Location": here})] * 50
    with pytest.raises(NetworkError, match="302"):
        fetch(site, tmp_path)
    assert len(site.requests) <= 7
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        site.faults = [lambda handler, target=target: handler.answer(302, b"", {"Location": target})]
        with pytest.raises(NetworkError, match=r"Redirection to url|redirects from http to"):
            fetch(site, tmp_path)


@pytest.mark.parametrize("value", ["bytes 5-10/100", "bytes 0-", "", "bytes 0-9999999999999999999999/1"])
def test_an_unrequested_range_is_rejected(site: Site, value: str) -> None:
    site.faults = [lambda handler: handler.answer(206, b"GGUF", {"Content-Range": value})]
    with pytest.raises(NetworkError, match="a different range than requested"):
        http_client.read_head(site.address("/m.gguf"), {}, 100)


def test_read_head_stops_early_if_the_server_ignores_ranges(site: Site) -> None:
    site.faults = [lambda handler: handler.answer(200, MODEL)]
    assert http_client.read_head(site.address("/m.gguf"), {}, 10) == (MODEL[:10], len(MODEL))


def test_connection_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/m.gguf"
        with pytest.raises(NetworkError, match="Connection refused"):
            UrlSource(url).fetch(REQUEST, tmp_path, no_progress)


def test_an_unresolvable_host(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="cannot be resolved"):
        UrlSource("http://name.invalid/m.gguf").fetch(REQUEST, tmp_path, no_progress)


def test_a_server_that_never_responds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/m.gguf"
        with pytest.raises(NetworkError, match="no answer within"):
            UrlSource(url).fetch(REQUEST, tmp_path, no_progress)


def test_a_response_that_is_not_http(tmp_path: Path, site: Site) -> None:
    site.faults = [lambda handler: (handler.wfile.write(b"SSH-2.0-x\r\n\r\n"), handler.wfile.flush())[1]] * 5
    with pytest.raises(NetworkError):
        fetch(site, tmp_path)


def test_a_slow_download_is_aborted(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "_SLOW_S", -1.0)
    site.files["/m.gguf"] = MODEL[:1000]
    with pytest.raises(NetworkError, match="fewer than 1024 bytes"):
        fetch(site, tmp_path, UNKNOWN)


@pytest.mark.parametrize("number", [28, 122, 27])  # ENOSPC, EDQUOT, EFBIG
def test_a_full_disk_at_every_write(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write, left = os.write, [0]

    def failing(fd: int, content: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return write(fd, content[:300_000])

    monkeypatch.setattr(download_files.os, "write", failing)
    for k in range(100):
        left[0] = k
        try:
            assert fetch(site, tmp_path) == MODEL
            break
        except DiskError:
            assert not (tmp_path / "m.gguf").exists()
            assert not list(tmp_path.glob("*.tmp.*"))
    assert 4 <= k < 20


def test_a_failed_fsync_fails_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(download_files.os, "fsync", failing)
    with pytest.raises(DiskError, match="Input/output error"):
        fetch(site, tmp_path)


def test_missing_disk_space_is_reported_before_any_request(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1_000_000

    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(DiskError, match=r"17\.8 MB needed, 1\.0 MB free"):
        fetch(site, tmp_path)
    assert site.requests == []


def test_loopback_bypasses_the_proxy(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.address(""))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert fetch(site, tmp_path) == MODEL
    assert site.requests[-1][1] == "/m.gguf"
    with pytest.raises(NetworkError, match="404"):
        http_client.read_head("http://elsewhere.invalid/m.gguf", {}, 10)
    assert site.requests[-1][1] == "http://elsewhere.invalid/m.gguf"
