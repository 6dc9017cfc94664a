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

__all__ = ["DownloadSource", "FetchedFile", "FileRequest", "FileSource", "Head", "one_line"]

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
    """A place that has a model. Subclasses are frozen dataclasses, one per module in `sources/`."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The name of this source in notices, errors and `models show`."""

    @abstractmethod
    def fetch_files(self, request: FileRequest, folder: Path, progress: Progress) -> tuple[FetchedFile, ...]:
        """Download the model's files into `folder`, or into the source's own cache, and verify them.

        Raises NetworkError with the reason, BadInput, DiskError.
        """

    def cached_files(self, request: FileRequest) -> tuple[FetchedFile, ...] | None:
        """The files if the source's own cache has them; reads only this disk."""
        return None


class FileSource(DownloadSource):
    """A source of the one file that a catalogue entry describes."""

    @abstractmethod
    def fetch(self, request: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """As `fetch_files`, for the one file."""

    def fetch_files(self, request: FileRequest, folder: Path, progress: Progress) -> tuple[FetchedFile, ...]:
        """The file."""
        return (self.fetch(request, folder, progress),)

    def cached(self, request: FileRequest) -> FetchedFile | None:
        """As `cached_files`, for the one file."""
        return None

    def cached_files(self, request: FileRequest) -> tuple[FetchedFile, ...] | None:
        """The file."""
        file = self.cached(request)
        return None if file is None else (file,)


def one_line(error: BaseException | str, limit: int = 200) -> str:
    """The first non-empty line of an error without its full stop, at most `limit` characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = (lines[0] if lines else type(error).__name__).rstrip(".")
    return text if len(text) <= limit else text[: limit - 1] + "…"
