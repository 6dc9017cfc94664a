"""HTTP as a download needs it, over the standard library: proxies of the environment, loopback direct,
few redirects, credentials that stay with their host, and answers that are not the file refused.
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
    "Patient",
    "open_url",
    "position",
    "read_head",
    "reason",
    "refuse_page",
    "retry_after_s",
    "size_of",
]

TIMEOUT_S = 15.0
_MAX_REDIRECTS = 5
_MAX_WAIT_S = 20.0
_SLOW_BYTES, _SLOW_S = 1024, 60.0  # fewer new bytes than this in so many seconds is no download
_SECRET = ("authorization", "cookie", "proxy-authorization")


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _MAX_REDIRECTS

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme != "https" and not (old.scheme == new.scheme == "http"):
            raise NetworkError(
                f"it redirects from {old.scheme} to {new.scheme or 'nowhere'}, which is refused"
            )
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and (old.scheme, old.netloc) != (new.scheme, new.netloc):
            for name in list(made.headers):
                if name.lower() in _SECRET:
                    made.remove_header(name)
        return made


class _Proxies(urllib.request.ProxyHandler):
    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        """Loopback is always direct, whatever NO_PROXY says."""
        return None if _is_loopback(urlsplit(req.full_url).hostname) else super().proxy_open(req, proxy, type)


def open_url(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Begin a GET; the caller reads and closes. Raises: OSError (HTTPError included), HTTPException."""
    request = urllib.request.Request(
        url, headers={"User-Agent": "zeropoint", "Accept-Encoding": "identity"} | headers
    )
    opener = urllib.request.build_opener(_Redirects, _Proxies)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()  # its code and headers are all that is wanted of it
        raise
    return response


def read_head(url: str, headers: dict[str, str], n_bytes: int) -> tuple[bytes, int | None]:
    """The first `n_bytes` of a file and its whole length if the server says it.

    A server that ignores the range is cut off. Raises: NetworkError with the reason.
    """
    try:
        with open_url(url, headers | {"Range": f"bytes=0-{n_bytes - 1}"}) as response:
            refuse_page(response)
            _, total = position(response, 0)
            patient, head = Patient(response), bytearray()
            while len(head) < n_bytes and (chunk := patient.read(min(1 << 20, n_bytes - len(head)))):
                head += chunk
            return bytes(head), total
    except (OSError, http.client.HTTPException) as error:
        raise NetworkError(reason(error)) from None


def size_of(url: str) -> int | None:
    """The length of the file at `url`, from the answer to a request for its first byte."""
    return read_head(url, {}, 1)[1]


def refuse_page(response: http.client.HTTPResponse) -> None:
    """A login page of a hotel or a proxy answers 200 too. Raises: NetworkError."""
    kind = response.headers.get_content_type() if "Content-Type" in response.headers else ""
    if kind in ("text/html", "application/xhtml+xml"):
        raise NetworkError("a web page came instead of the file (is there a login page on this network?)")


def position(response: http.client.HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Where the body begins in the file (`asked`, or 0) and the file's length if known.

    Raises: NetworkError for a range that was not asked for.
    """
    length = response.headers.get("Content-Length", "")
    n_body = int(length) if length.isascii() and length.isdigit() else None
    if response.status != 206:
        return 0, n_body
    match = re.fullmatch(
        r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers.get("Content-Range", "")
    )
    if match is None or int(match[1]) != asked:
        raise NetworkError("the server sent another range than was asked for")
    return asked, None if match[3] == "*" else int(match[3])


class Patient:
    """Reads a response, but not for ever: a trickle under 1 KiB a minute is given up."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self._since, self._n_bytes = time.monotonic(), 0

    def read(self, n: int, /) -> bytes:
        """Up to `n` bytes as they come. Raises: TimeoutError when too slow; OSError, HTTPException."""
        chunk = self._response.read1(n)
        self._n_bytes += len(chunk)
        now = time.monotonic()
        if now - self._since > _SLOW_S:
            if self._n_bytes < _SLOW_BYTES:
                raise TimeoutError(f"fewer than {_SLOW_BYTES} bytes came in {_SLOW_S:.0f} s")
            self._since, self._n_bytes = now, 0
        return chunk


def retry_after_s(error: Exception, failures: int) -> float | None:
    """How long to wait before the next attempt; None if another would meet the same answer."""
    pause_s = min(0.25 * 2.0**failures, 4.0)
    if isinstance(error, urllib.error.HTTPError):
        if error.code not in (408, 416, 425, 429, 500, 502, 503, 504):
            return None
        asked = str((error.headers or Message()).get("Retry-After", ""))
        wait_s = float(asked) if asked.isascii() and asked.isdigit() else pause_s
        return wait_s if wait_s <= _MAX_WAIT_S else None
    if isinstance(error, urllib.error.URLError):  # no connection was made at all: the next source is quicker
        return None
    if isinstance(error, TimeoutError) and failures:  # nothing came in all that time
        return None
    return pause_s


def reason(error: Exception) -> str:
    """The reason of a failed request, in words for a person."""
    if isinstance(error, urllib.error.HTTPError):
        words = {401: "it asks for a login", 403: "it refuses access", 404: "there is no such file"}
        words |= {429: "it has had too many requests; try again later"}
        said = words.get(error.code, one_line(str(error.reason), 80))
        return f"{said} (HTTP {error.code})"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "its host name cannot be resolved"
    if isinstance(cause, ssl.SSLError):
        return f"its certificate or encryption is not accepted ({one_line(cause.reason or str(cause), 80)})"
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
