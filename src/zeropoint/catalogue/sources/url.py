"""A plain http or https address: resumable, bounded, and wary of what answers in its place."""

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
from zeropoint.catalogue.source import FetchedFile, FileRequest
from zeropoint.errors import NetworkError
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.disk_space import require_space
from zeropoint.frozen import frozen

__all__ = ["Source"]

_BARREN_ATTEMPTS = 3  # in a row, without a new byte
_MAX_ATTEMPTS = 50
_MAX_BYTES = 1 << 42  # 4 TiB, where neither catalogue nor server says a length


@frozen
class Source:
    """The file at `url`. magic: what it must begin with where nothing else is known of it."""

    url: str
    magic: str = "GGUF"

    @property
    def label(self) -> str:
        """How notices and errors call it."""
        return self.url

    def fetch(self, want: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download with resume and verify. Raises: NetworkError, DiskError.

        A download that broke off leaves `NAME.part` and a note of the version it belongs to.
        """
        part = _Part(folder / f"{want.file}.part", want)
        if want.n_bytes is not None:
            require_space(folder, want.n_bytes - part.n_bytes(), download_files.OTHER_HOME)
        is_resumed = part.n_bytes() > 0
        self._complete(part, progress)
        try:
            part.refuse_other(self.magic)
            sha256 = download_files.publish(part.path, folder / want.file, want)
        except NetworkError:
            part.discard()
            if not is_resumed:
                raise
            return self.fetch(want, folder, progress)  # what was resumed may have been another version
        part.discard()
        return FetchedFile(folder / want.file, sha256)

    def cached(self, want: FileRequest) -> FetchedFile | None:
        """Nothing: a plain address has no cache of its own."""
        return None

    def _complete(self, part: _Part, progress: Progress) -> None:
        failures = 0
        for _ in range(_MAX_ATTEMPTS):
            before = part.n_bytes()
            try:
                return self._attempt(part, progress)
            except (OSError, http.client.HTTPException) as error:
                failures = 0 if part.n_bytes() > before else failures + 1
                wait_s = http_client.retry_after_s(error, failures)
                if wait_s is None or failures >= _BARREN_ATTEMPTS:
                    raise NetworkError(http_client.reason(error)) from None
                time.sleep(wait_s)
        raise NetworkError(f"the connection broke {_MAX_ATTEMPTS} times")

    def _attempt(self, part: _Part, progress: Progress) -> None:
        start = part.n_bytes()
        if start and start == part.want.n_bytes:
            return
        try:
            response = http_client.open_url(self.url, part.range_headers(start))
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is as long as the file or longer: not the same file
                part.discard()
            raise
        with response:
            http_client.refuse_page(response)
            start, total = http_client.position(response, start)
            want = part.want
            if total is not None and want.n_bytes is not None and total != want.n_bytes:
                raise NetworkError(f"the server has {total:,} bytes instead of {want.n_bytes:,}")
            if total is not None:
                require_space(part.path.parent, total - start, download_files.OTHER_HOME)
            part.note(response.headers)
            limit = (total if total is not None else want.n_bytes or _MAX_BYTES) - start
            done = download_files.append(
                http_client.Patient(response),
                part.path,
                start=start,
                limit=limit,
                progress=progress,
                total=total,
            )
        if total is not None and done < total:
            raise ConnectionResetError(f"the connection ended after {done:,} of {total:,} bytes")


class _Part:
    """What is here of a file, and the mark (ETag or date) of the version that it belongs to."""

    def __init__(self, path: Path, want: FileRequest) -> None:
        self.path, self.want = path, want
        self._mark_path = path.with_name(f"{path.name}.json")

    def n_bytes(self) -> int:
        """How many bytes can be built upon: none if their version is unknown or they are too many."""
        try:
            n_bytes = self.path.lstat().st_size
        except OSError:
            return 0
        known = self.want.sha256 is not None or self._mark() is not None
        is_usable = known and (self.want.n_bytes is None or n_bytes <= self.want.n_bytes)
        return n_bytes if is_usable else 0

    def range_headers(self, start: int) -> dict[str, str]:
        """Ask for the rest only, and only of the same version."""
        if not start:
            return {}
        mark = self._mark()
        return {"Range": f"bytes={start}-"} | ({"If-Range": mark} if mark else {})

    def note(self, headers: Message) -> None:
        """Remember the version; a weak ETag proves nothing about bytes (RFC 9110, 8.8.3)."""
        etag = headers.get("ETag", "")
        mark = etag if etag.startswith('"') else headers.get("Last-Modified")
        replace_file(self._mark_path, json.dumps({"mark": mark}).encode(), download_files.OTHER_HOME)

    def refuse_other(self, magic: str) -> None:
        """Where nothing is known of a file but its name, its beginning can be asked. Raises: NetworkError."""
        if self.want.sha256 is None:
            with contextlib.suppress(OSError), self.path.open("rb") as file:
                if file.read(len(magic)) != magic.encode():
                    raise NetworkError(f"what came is not a {magic} file")

    def discard(self) -> None:
        """Forget the part."""
        for path in (self.path, self._mark_path):
            with contextlib.suppress(OSError):
                path.unlink()

    def _mark(self) -> str | None:
        try:
            mark = json.loads(self._mark_path.read_bytes())["mark"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return mark if isinstance(mark, str) and mark.isprintable() else None
