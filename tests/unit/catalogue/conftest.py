"""A web server on loopback with programmable faults, and a temporary cache folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socketserver
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from zeropoint.catalogue import catalog

MODEL = b"GGUF" + bytes(range(256)) * 4000  # 1,024,004 bytes
SHA256 = hashlib.sha256(MODEL).hexdigest()


class Site(socketserver.ThreadingTCPServer):
    """Serves `files` (path -> bytes) with ranges and an ETag; each request first takes one of `faults`."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.faults: list[Callable[[Handler], None] | None] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def address(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a path on this server."""
        return f"http://{host}:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect early, as many tests do."""


class Handler(BaseHTTPRequestHandler):
    """Handle one request."""

    server: Site
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, self.path, dict(self.headers.items())))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault is not None:
            return fault(self)
        body = self.server.files.get(path)
        if body is None:
            return self.answer(404, b"no such file")
        return self.serve(body)

    def serve(self, body: bytes, cut: int | None = None) -> None:
        """Respond with `body` or the requested range; stop after `cut` bytes."""
        path = self.path.partition("?")[0]
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        headers = {"ETag": etag, "Content-Type": self.server.types.get(path, "application/octet-stream")}
        headers |= self.server.headers.get(path, {})
        range_header = self.headers.get("Range", "")
        if range_header and self.headers.get("If-Range", etag) == etag:
            first, _, last = range_header.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) if last else len(body) - 1, len(body) - 1)
            if start >= len(body):
                return self.answer(416, b"")
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            return self.answer(206, body[start : end + 1], headers, cut)
        return self.answer(200, body, headers, cut)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        """Send a response, or only its first `cut` bytes before closing the connection."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
            self.wfile.flush()
        if cut is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary ZEROPOINT_HOME, without the settings of this machine."""
    for name in ("ZEROPOINT_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home of 🙂"
    monkeypatch.setenv("ZEROPOINT_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the waits between attempts."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def wheel(path: Path, member: str, content: bytes) -> Path:
    """A wheel `tiny_model-1.0` with one data file."""
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path / "tiny_model-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path / "tiny_model-1.0-py3-none-any.whl"


@pytest.fixture
def index(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Publish a tiny wheel on a package index on loopback, the only index that pip uses."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", site.address("/simple"))

    def publish(content: bytes = MODEL, member: str = "tiny_model/m.gguf") -> None:
        archive = wheel(tmp_path, member, content)
        page = f'<!DOCTYPE html><html><body><a href="/files/{archive.name}">{archive.name}</a></body></html>'
        site.files |= {"/simple/tiny-model/": page.encode(), f"/files/{archive.name}": archive.read_bytes()}
        site.types["/simple/tiny-model/"] = "text/html"
        archive.unlink()

    return publish


def catalogue(*sources: str, n_bytes: int = len(MODEL), sha256: str = SHA256) -> str:
    """The TOML of a catalogue with the one model `tiny:1` and the given sources."""
    numbers = "".join(f"{field.name} = 1\n" for field in dataclasses.fields(catalog.ModelSizes))
    head = 'name = "tiny:1"\ndescription = "d"\nlicence = "MIT"\nfile = "m.gguf"\nformat = "F16"\n'
    body = f'[[model]]\n{head}n_bytes = {n_bytes}\nsha256 = "{sha256}"\n[model.blueprint]\n{numbers}'
    return body + "".join(f"[[model.source]]\n{source}\n" for source in sources)


PYPI = """kind = "pypi"
package = "tiny-model"
version = "1.0"
member = "tiny_model/m.gguf"
wheel_bytes = 20000"""


def url_source(address: str) -> str:
    """The TOML of a URL source."""
    return f'kind = "url"\nurl = "{address}"'


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], catalog.CatalogEntry]:
    """Make a TOML text the catalogue of this process."""

    def set_catalogue(text: str) -> catalog.CatalogEntry:
        entries = catalog.read(text, "test.toml")
        monkeypatch.setattr(catalog, "load", lambda: entries)
        return entries["tiny:1"]

    return set_catalogue
