"""The contract of a source: what it is asked for, what it gives back, how it fails.

A source that cannot deliver raises `NetworkError` with the bare reason; `fetch.py` collects the reasons of
all sources into one sentence. A `DiskError` ends the fetch at once: the next source would meet the same disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from zeropoint.catalogue.download.progress import Progress
from zeropoint.frozen import frozen

__all__ = ["FetchedFile", "FileRequest", "Head", "Source", "one_line"]

Head = Callable[[int], bytes]
"""Reads the first n bytes of a file, wherever it is (fewer if it is shorter)."""


@frozen
class FileRequest:
    """The file that is asked for; a size in bytes or a sha256 (hex) that is known is enforced."""

    file: str
    n_bytes: int | None = None
    sha256: str | None = None


@frozen
class FetchedFile:
    """A verified file on this disk: its path, its sha256 in hex, and the revision if the source has one.

    repo: the hub repository whose cache holds it; None if it lies in the folder that was given.
    """

    path: Path
    sha256: str
    revision: str | None = None
    repo: str | None = None


class Source(Protocol):
    """One place that has a model file. Each module in `sources/` has a frozen dataclass that is one."""

    @property
    def label(self) -> str:
        """The name under which notices, errors and `models show` speak of this source."""

    def fetch(self, want: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Bring `want` into `folder` (or a cache of the source's own), whole and verified.

        Raises: NetworkError with the reason; DiskError.
        """

    def cached(self, want: FileRequest) -> FetchedFile | None:
        """The file if a cache of the source's own has it already; looks at this disk only."""


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """The first non-empty line of an error, without its final stop, cut at `limit` characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (lines[0] if lines else type(error).__name__).rstrip(".")
    return text if len(text) <= limit else text[: limit - 1] + "…"
