"""A model of a Hugging Face repository by its quantization: the hub names the files, their sizes and hashes.

A catalogue entry with only such sources is not pinned: what the hub says at the time of the download is
verified, as for a model named `hf:owner/repo:quant`.
"""

from __future__ import annotations

from pathlib import Path

from zeropoint.catalogue.download.progress import Progress
from zeropoint.catalogue.hub_ref import HubRef
from zeropoint.catalogue.source import DownloadSource, FetchedFile, FileRequest
from zeropoint.errors import NetworkError
from zeropoint.frozen import frozen

__all__ = ["HubQuantSource"]


@frozen
class HubQuantSource(DownloadSource):
    """The model of `repo` in the number format `quant`, on its main branch."""

    repo: str
    quant: str

    @property
    def label(self) -> str:
        """The hub and the repository."""
        return f"Hugging Face ({self.repo})"

    def fetch_files(self, request: FileRequest, folder: Path, progress: Progress) -> tuple[FetchedFile, ...]:
        """Download into the Hugging Face cache and verify with the hub's sizes and hashes."""
        from zeropoint.catalogue.sources import hub

        return tuple(hub.download(hub.select(HubRef(self.repo, self.quant)), progress))

    def cached_files(self, request: FileRequest) -> tuple[FetchedFile, ...] | None:
        """The files if the Hugging Face cache has them."""
        from zeropoint.catalogue.sources import hub

        selection = hub.select_cached(HubRef(self.repo, self.quant))
        try:
            return tuple(hub.download(selection)) if selection is not None else None
        except NetworkError:  # a damaged file
            return None
