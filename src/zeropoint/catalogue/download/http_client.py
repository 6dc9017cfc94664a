"""HTTP for downloads, with the standard library.

Uses the environment's proxies but connects to loopback directly, follows few redirects, sends credentials
only to their own host, and rejects responses that are not the requested file.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from email.message import Message
from typing import IO, Any
from urllib.parse import urlsplit

from zeropoint.catalogue.source import one_line
from zeropoint.errors import NetworkError

__all__ = [
    "StallGuard",
    "body_range",
    "content_length",
    "error_reason",
    "open_url",
    "read_head",
    "refuse_html",
    "retry_after_s",
]

TIMEOUT_S = 15.0
_MAX_REDIRECTS = 5
_MAX_WAIT_S = 20.0
_SLOW_BYTES, _SLOW_S = 1024, 60.0  # give up below this many new bytes in this time
_SECRET = ("authorization", "cookie", "proxy-authorization")


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _MAX_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https" and not (old.scheme == new.scheme == "http"):
            raise NetworkError(
                f"it redirects from {old.scheme} to {new.scheme or 'nowhere'}, which is not allowed"
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            for name in list(request.headers):
                if name.lower() in _SECRET:
                    request.remove_header(name)
        return request


class _Proxies(urllib.request.ProxyHandler):
    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        """Connect to loopback directly, whatever NO_PROXY contains."""
        return None if _is_loopback(urlsplit(req.full_url).hostname) else super().proxy_open(req, proxy, type)


def open_url(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Start a GET request; the caller reads and closes it. Raises OSError (and HTTPError), HTTPException."""
    request = urllib.request.Request(
        url, headers={"User-Agent": "zeropoint", "Accept-Encoding": "identity"} | headers
    )
    opener = urllib.request.build_opener(_Redirects, _Proxies)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()  # callers need only its code and headers
        raise
    return response


def read_head(url: str, headers: dict[str, str], n_bytes: int) -> tuple[bytes, int | None]:
    """The first `n_bytes` of a file, and the file's length if the server reports it.

    Stops reading after `n_bytes` if the server ignores the range. Raises NetworkError with the reason.
    """
    try:
        with open_url(url, headers | {"Range": f"bytes=0-{n_bytes - 1}"}) as response:
            refuse_html(response)
            _, total = body_range(response, 0)
            reader, head = StallGuard(response), bytearray()
            while len(head) < n_bytes and (chunk := reader.read(min(1 << 20, n_bytes - len(head)))):
                head += chunk
            return bytes(head), total
    except (OSError, http.client.HTTPException) as error:
        raise NetworkError(error_reason(error)) from None


def content_length(url: str) -> int | None:
    """The length in bytes of the file at `url`, found by requesting its first byte."""
    return read_head(url, {}, 1)[1]


def refuse_html(response: http.client.HTTPResponse) -> None:
    """Reject an HTML page: login pages of hotels and proxies answer 200 too. Raises NetworkError."""
    kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
    if kind in ("text/html", "application/xhtml+xml"):
        raise NetworkError("the server sent a web page instead of the file (does this network need a login?)")


def body_range(response: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
    """The file offset of the body's first byte (the requested `start`, or 0) and the file's length if known.

    Raises NetworkError if the server sends another range.
    """
    length = response.headers.get("Content-Length", "")
    n_body = int(length) if length.isascii() and length.isdigit() else None
    if response.status != 206:
        return 0, n_body
    match = re.fullmatch(
        r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("Content-Range", "")
    )
    if match is None or int(match[1]) != start:
        raise NetworkError("the server sent a different range than requested")
    return start, None if match[3] == "*" else int(match[3])


class StallGuard:
    """Read a response, but give up on one that delivers less than 1 KiB in 60 s."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._since, self._n_bytes = time.monotonic(), 0

    def read(self, n: int, /) -> bytes:
        """Up to `n` bytes as they arrive. Raises TimeoutError if it is too slow, OSError, HTTPException."""
        chunk = self._response.read1(n)
        self._n_bytes += len(chunk)
        now = time.monotonic()
        if now - self._since > _SLOW_S:
            if self._n_bytes < _SLOW_BYTES:
                raise TimeoutError(f"fewer than {_SLOW_BYTES} bytes arrived in {_SLOW_S:.0f} s")
            self._since, self._n_bytes = now, 0
        return chunk


def retry_after_s(error: Exception, failures: int) -> float | None:
    """Seconds to wait before the next attempt; None if a retry would fail the same way."""
    pause_s = min(0.25 * 2.0**failures, 4.0)
    if isinstance(error, urllib.error.HTTPError):
        if error.code not in (408, 416, 425, 429, 500, 502, 503, 504):
            return None
        header = str((error.headers or Message()).get("Retry-After", ""))
        wait_s = float(header) if header.isascii() and header.isdigit() else pause_s
        return wait_s if wait_s <= _MAX_WAIT_S else None
    if isinstance(error, urllib.error.URLError):  # no connection at all: the next source is faster
        return None
    if isinstance(error, TimeoutError) and failures:  # nothing arrived during two timeouts
        return None
    return pause_s


def error_reason(error: Exception) -> str:
    """Why a request failed, for a message."""
    if isinstance(error, urllib.error.HTTPError):
        texts = {401: "it requires a login", 403: "it denies access", 404: "there is no such file"}
        texts |= {429: "it received too many requests; try again later"}
        text = texts.get(error.code, one_line(str(error.reason), 80))
        return f"{text} (HTTP {error.code})"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "its host name cannot be resolved"
    if isinstance(cause, ssl.SSLError):
        return f"the TLS connection failed ({one_line(cause.reason or str(cause), 80)})"
    if isinstance(cause, TimeoutError):
        return (
            f"no answer within {TIMEOUT_S:.0f} s" if cause.args in ((), ("timed out",)) else one_line(cause)
        )
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return one_line(text or type(cause).__name__)


def _is_loopback(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
