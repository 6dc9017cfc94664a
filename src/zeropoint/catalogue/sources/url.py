"""Download from an http or https URL, with resume, retries and checks against unexpected content."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

from zeropoint.catalogue.download import download_files, http_client
from zeropoint.catalogue.download.progress import Progress
from zeropoint.catalogue.source import FetchedFile, FileRequest, FileSource
from zeropoint.errors import BadInput, NetworkError
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.disk_space import require_space
from zeropoint.files.json_text import read_json
from zeropoint.frozen import frozen

__all__ = ["UrlSource"]

_MAX_FAILURES = 3  # in a row, without a new byte
_MAX_ATTEMPTS = 50
_MAX_VERSION_BYTES = 1 << 16
_MAX_BYTES = 1 << 42  # 4 TiB, if neither the catalogue nor the server gives a length


@frozen
class UrlSource(FileSource):
    """The file at `url`. magic: its required first bytes, checked if no SHA-256 is known."""

    url: str
    magic: str = "GGUF"

    @property
    def label(self) -> str:
        """The URL."""
        return self.url

    def fetch(self, request: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download with resume and verify. Raises NetworkError, DiskError.

        An interrupted download leaves `NAME.part` and, in `NAME.part.json`, the version it belongs to.
        """
        part = _Part(folder / f"{request.file}.part", request)
        if request.n_bytes is not None:
            require_space(folder, request.n_bytes - part.n_bytes(), download_files.OTHER_HOME)
        is_resumed = part.n_bytes() > 0
        self._complete(part, progress)
        try:
            part.check_magic(self.magic)
            sha256 = download_files.publish(part.path, folder / request.file, request)
        except NetworkError:
            part.discard()
            if not is_resumed:
                raise
            return self.fetch(request, folder, progress)  # the resumed part may have been of another version
        part.discard()
        return FetchedFile(folder / request.file, sha256)

    def _complete(self, part: _Part, progress: Progress) -> None:
        """Attempt the download until it is complete or fails several times without progress."""
        failures = 0
        for _ in range(_MAX_ATTEMPTS):
            before = part.n_bytes()
            try:
                return self._attempt(part, progress)
            except (OSError, http.client.HTTPException) as error:
                failures = 0 if part.n_bytes() > before else failures + 1
                wait_s = http_client.retry_after_s(error, failures)
                if wait_s is None or failures >= _MAX_FAILURES:
                    raise NetworkError(http_client.error_reason(error)) from None
                time.sleep(wait_s)
        raise NetworkError(f"the connection broke {_MAX_ATTEMPTS} times")

    def _attempt(self, part: _Part, progress: Progress) -> None:
        start = part.n_bytes()
        if start and start == part.request.n_bytes:
            return
        try:
            response = http_client.open_url(self.url, part.range_headers(start))
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is at least as long as the file, so it is of another file
                part.discard()
            raise
        with response:
            http_client.refuse_html(response)
            start, total = http_client.body_range(response, start)
            request = part.request
            if total is not None and request.n_bytes is not None and total != request.n_bytes:
                raise NetworkError(f"the server has {total:,} bytes instead of {request.n_bytes:,}")
            if total is not None:
                require_space(part.path.parent, total - start, download_files.OTHER_HOME)
            part.record_version(response.headers)
            limit = (total if total is not None else request.n_bytes or _MAX_BYTES) - start
            done_bytes = download_files.append(
                http_client.StallGuard(response),
                part.path,
                start=start,
                limit=limit,
                progress=progress,
                total=total,
            )
        if total is not None and done_bytes < total:
            raise ConnectionResetError(f"the connection closed after {done_bytes:,} of {total:,} bytes")


class _Part:
    """A partial download, and the validator (ETag or Last-Modified) of the version it belongs to."""

    def __init__(self, path: Path, request: FileRequest) -> None:
        self.path, self.request = path, request
        self._version_path = path.with_name(f"{path.name}.json")

    def n_bytes(self) -> int:
        """Bytes that can be resumed: 0 if their version is unknown or there are too many."""
        try:
            n_bytes = self.path.lstat().st_size
        except OSError:
            return 0
        is_known = self.request.sha256 is not None or self._validator() is not None
        is_usable = is_known and (self.request.n_bytes is None or n_bytes <= self.request.n_bytes)
        return n_bytes if is_usable else 0

    def range_headers(self, start: int) -> dict[str, str]:
        """Headers that request the bytes from `start` on, if the file is still the same version."""
        if not start:
            return {}
        validator = self._validator()
        return {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})

    def record_version(self, headers: Message) -> None:
        """Store the version's validator; a weak ETag does not identify bytes (RFC 9110, 8.8.3)."""
        etag = headers.get("ETag", "")
        validator = etag if etag.startswith('"') else headers.get("Last-Modified")
        content = json.dumps({"validator": validator}).encode()
        replace_file(self._version_path, content, download_files.OTHER_HOME)

    def check_magic(self, magic: str) -> None:
        """Check the first bytes if no SHA-256 is known. Raises NetworkError."""
        if self.request.sha256 is None:
            with contextlib.suppress(OSError), self.path.open("rb") as file:
                if file.read(len(magic)) != magic.encode():
                    raise NetworkError(f"the downloaded file is not a {magic} file")

    def discard(self) -> None:
        """Remove the partial download and its validator."""
        for path in (self.path, self._version_path):
            with contextlib.suppress(OSError):
                path.unlink()

    def _validator(self) -> str | None:
        try:
            validator = read_json(self._version_path, _MAX_VERSION_BYTES)["validator"]
        except (OSError, ValueError, KeyError, TypeError, BadInput):
            return None
        return validator if isinstance(validator, str) and validator.isprintable() else None
