"""A web server on loopback that can be told to misbehave, and a cache folder of the test's own."""

from __future__ import annotations

import hashlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

MODEL = b"GGUF" + bytes(range(256)) * 4000  # 1,024,004 bytes


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
        """A client that goes away in the middle is what many tests do."""


class Handler(BaseHTTPRequestHandler):
    """One request."""

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
        """Answer with `body` or the range that is asked for; stop after `cut` bytes."""
        path = self.path.partition("?")[0]
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        headers = {"ETag": etag, "Content-Type": self.server.types.get(path, "application/octet-stream")}
        headers |= self.server.headers.get(path, {})
        asked = self.headers.get("Range", "")
        if asked and self.headers.get("If-Range", etag) == etag:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) if last else len(body) - 1, len(body) - 1)
            if start >= len(body):
                return self.answer(416, b"")
            headers["Content-Range"] = f"bytes {start}-{end}/{len(body)}"
            return self.answer(206, body[start : end + 1], headers, cut)
        return self.answer(200, body, headers, cut)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        """Send one whole answer, or its first `cut` bytes and then hang up."""
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
        """Quiet."""


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
    """A ZEROPOINT_HOME of the test's own, with no setting of this machine in the way."""
    for name in ("ZEROPOINT_OFFLINE", "HF_HUB_OFFLINE", "HF_TOKEN", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home of 🙂"
    monkeypatch.setenv("ZEROPOINT_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts."""
    monkeypatch.setattr("time.sleep", lambda _: None)
