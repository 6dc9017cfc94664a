"""Get the files of a model reference: from this disk, the catalogue's sources in order, the hub or a URL."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zeropoint.catalogue import model_refs
from zeropoint.catalogue.catalog import CatalogEntry
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, Progress
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, HubRef, Remote, StoreRef, UrlRef
from zeropoint.catalogue.source import DownloadSource, FetchedFile, FileRequest
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["FetchedModel", "fetch_files", "find_local", "is_offline", "local_path", "url_source"]


@frozen
class FetchedModel:
    """The verified files of a model, in order of shards, and the source that they came from."""

    source: str
    licence: str | None
    files: tuple[FetchedFile, ...]


def fetch_files(ref: Remote, folder: Path, progress: Progress, notice: Notice) -> FetchedModel:
    """Download the files of a model into `folder` or the Hugging Face cache.

    Hold the folder's lock when calling. Raises NetworkError naming each source with its reason, BadInput,
    DiskError.
    """
    if isinstance(ref, CatalogueRef):
        return _from_catalogue(ref.entry, folder, progress, notice)
    return _from_hub(ref, progress, notice) if isinstance(ref, HubRef) else _from_url(ref, folder, progress)


def find_local(ref: Remote, folder: Path) -> FetchedModel | None:
    """The files if they are on this disk without a record: in `folder` or in the Hugging Face cache."""
    if isinstance(ref, CatalogueRef):
        return _find_entry(ref.entry, folder)
    if isinstance(ref, HubRef):
        from zeropoint.catalogue.sources import hub

        if (selection := hub.select_cached(ref)) is not None:
            return FetchedModel(hub.source_label(ref.repo), None, tuple(hub.download(selection)))
    return None


def is_offline(settings: Settings, flag: bool = False) -> bool:
    """Whether offline mode is on: by argument, ZEROPOINT_OFFLINE or HF_HUB_OFFLINE."""
    hub_is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return flag or hub_is_offline or bool(settings.get("offline").value)


def local_path(ref: FileRef | StoreRef) -> Path:
    """The file of a local reference, or the folder of a training run. Raises BadInput."""
    if isinstance(ref, StoreRef):
        from zeropoint.catalogue import external_stores  # most names do not need it

        return external_stores.find(ref)
    path = ref.path
    try:
        if not path.exists():
            raise BadInput(f"there is no file {path}; `zeropoint models list` shows the models with a name")
        if path.is_dir() and not any(
            (folder / model_refs.RUN_FILE).is_file() for folder in (path, *path.parents)
        ):
            files = sorted(path.glob("*.gguf"))
            if len(files) != 1:
                raise BadInput(f"the folder {path} has {len(files)} .gguf files; name one file")
            return files[0]
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}); check its name and permissions") from None
    return path


def url_source(ref: UrlRef) -> tuple[DownloadSource, FileRequest]:
    """The source of a URL, and a request whose file name stays inside the cache folder."""
    from zeropoint.catalogue.sources import url

    file = unquote(urlsplit(ref.url).path).rpartition("/")[2]
    return url.UrlSource(ref.url), FileRequest(
        file if model_refs.is_safe_file(file) and len(file) <= 128 else "model.gguf"
    )


def _find_entry(entry: CatalogEntry, folder: Path) -> FetchedModel | None:
    with contextlib.suppress(NetworkError, DiskError):
        sha256 = download_files.verify(folder / entry.file, entry.request)
        return FetchedModel("this disk", entry.licence, (FetchedFile(folder / entry.file, sha256),))
    for source in entry.sources:
        if (cached := source.cached(entry.request)) is not None:
            return FetchedModel(source.label, entry.licence, (cached,))
    return None


def _from_catalogue(entry: CatalogEntry, folder: Path, progress: Progress, notice: Notice) -> FetchedModel:
    """Try each source in order; the first that succeeds wins."""
    reasons = []
    for source in entry.sources:
        notice(f"fetching {entry.name} ({entry.n_bytes / 1e6:.1f} MB, {entry.licence}) from {source.label}")
        try:
            return FetchedModel(source.label, entry.licence, (source.fetch(entry.request, folder, progress),))
        except NetworkError as error:
            reasons.append(f"{source.label}: {error}")
            notice(reasons[-1])
    raise _all_failed(entry.name, reasons)


def _from_hub(ref: HubRef, progress: Progress, notice: Notice) -> FetchedModel:
    from zeropoint.catalogue.sources import hub

    try:
        selection = hub.select(ref)
        first, *more = selection.model.files
        shards = f" and {len(more)} more shards" if more else ""
        notice(f"fetching {first.file}{shards} of {ref.repo} at commit {selection.commit[:12]}")
        return FetchedModel(
            hub.source_label(ref.repo), selection.licence, tuple(hub.download(selection, progress))
        )
    except NetworkError as error:
        raise _all_failed(str(ref), [f"{hub.source_label(ref.repo)}: {error}"]) from None


def _from_url(ref: UrlRef, folder: Path, progress: Progress) -> FetchedModel:
    source, request = url_source(ref)
    try:
        return FetchedModel(source.label, None, (source.fetch(request, folder, progress),))
    except NetworkError as error:
        raise _all_failed("the model", [f"{source.label}: {error}"]) from None


def _all_failed(name: str, reasons: list[str]) -> NetworkError:
    return NetworkError(
        f"could not fetch {name}: {'; '.join(reasons)}; check the network and proxy settings and try again,"
        " or use a file on this disk"
    )
