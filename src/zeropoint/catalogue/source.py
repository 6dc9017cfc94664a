"""The contract of a download source: it takes a `FileRequest` and returns a verified `FetchedFile`.

A source that fails raises `NetworkError` with the bare reason; `source_chain.py` tries the next one and joins
all reasons into one message. A `DiskError` ends the fetch at once: every source writes to the same disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from zeropoint.catalogue.download.progress import Progress
from zeropoint.frozen import frozen

__all__ = ["DownloadSource", "FetchedFile", "FileRequest", "Head", "one_line"]

Head = Callable[[int], bytes]
"""Reads the first n bytes of a file, local or remote (fewer if the file is shorter)."""


@frozen
class FileRequest:
    """A file to fetch. `n_bytes` (size) and `sha256` (hex) are verified if they are known."""

    file: str
    n_bytes: int | None = None
    sha256: str | None = None


@frozen
class FetchedFile:
    """A verified file on this disk, its SHA-256 (hex) and its revision if the source has revisions.

    repo: the Hugging Face repository whose cache holds the file; None if it is in our own cache.
    """

    path: Path
    sha256: str
    revision: str | None = None
    repo: str | None = None


class DownloadSource(ABC):
    """A place that has a model file. Subclasses are frozen dataclasses, one per module in `sources/`."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The name of this source in notices, errors and `models show`."""

    @abstractmethod
    def fetch(self, request: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Download the file into `folder`, or into the source's own cache, and verify it.

        Raises NetworkError with the reason, DiskError.
        """

    def cached(self, request: FileRequest) -> FetchedFile | None:
        """The file if the source's own cache has it; reads only this disk. By default there is no cache."""
        return None


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """The first non-empty line of an error without its full stop, at most `limit` characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (lines[0] if lines else type(error).__name__).rstrip(".")
    return text if len(text) <= limit else text[: limit - 1] + "…"
