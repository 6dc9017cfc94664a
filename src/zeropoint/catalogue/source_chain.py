"""How each kind of name gets its files: this disk, the catalogue's sources in order, the hub, an address."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zeropoint.catalogue import model_refs
from zeropoint.catalogue.catalog import Entry
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, Progress
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, HubRef, Remote, StoreRef, UrlRef
from zeropoint.catalogue.source import FetchedFile, FileRequest, Source
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["Delivery", "already_here", "deliver", "is_offline", "local_path", "source_of"]


@frozen
class Delivery:
    """The verified files of a model, in order, and who delivered them."""

    source: str
    licence: str | None
    files: tuple[FetchedFile, ...]


def deliver(ref: Remote, folder: Path, progress: Progress, say: Notice) -> Delivery:
    """Fetch the files of a name, into `folder` or the hub library's cache; the folder's lock must be held.

    Raises: NetworkError naming each source with its reason; BadInput; DiskError.
    """
    if isinstance(ref, CatalogueRef):
        return _from_catalogue(ref.entry, folder, progress, say)
    return _from_hub(ref, progress, say) if isinstance(ref, HubRef) else _from_url(ref, folder, progress)


def already_here(ref: Remote, folder: Path) -> Delivery | None:
    """The files if they lie on this disk with no record of ours: left in `folder`, or in the hub's cache."""
    if isinstance(ref, CatalogueRef):
        return _entry_here(ref.entry, folder)
    if isinstance(ref, HubRef):
        from zeropoint.catalogue.sources import hub

        if (selection := hub.cached_selection(ref)) is not None:
            return Delivery(hub.label(ref.repo), None, tuple(hub.download(selection)))
    return None


def is_offline(settings: Settings, flag: bool = False) -> bool:
    """Whether the network is off limits: by argument, ZEROPOINT_OFFLINE or HF_HUB_OFFLINE."""
    hub_says = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    return flag or hub_says or bool(settings.get("offline").value)


def local_path(ref: FileRef | StoreRef) -> Path:
    """The file (or the folder of a training run) that a name means on this disk. Raises: BadInput."""
    if isinstance(ref, StoreRef):
        from zeropoint.catalogue import external_stores  # here: what most names do not need

        return external_stores.find(ref)
    path = ref.path
    try:
        if not path.exists():
            raise BadInput(f"there is no file {path}; `zeropoint models list` shows the known models")
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


def source_of(ref: UrlRef) -> tuple[Source, FileRequest]:
    """The source of a plain address, and a file name that is safe whatever the address says."""
    from zeropoint.catalogue.sources import url

    file = unquote(urlsplit(ref.url).path).rpartition("/")[2]
    return url.Source(ref.url), FileRequest(
        file if model_refs.is_safe_file(file) and len(file) <= 128 else "model.gguf"
    )


def _entry_here(entry: Entry, folder: Path) -> Delivery | None:
    with contextlib.suppress(NetworkError, DiskError):
        sha256 = download_files.verify(folder / entry.file, entry.want)
        return Delivery("this disk", entry.licence, (FetchedFile(folder / entry.file, sha256),))
    for source in entry.sources:
        if (got := source.cached(entry.want)) is not None:
            return Delivery(source.label, entry.licence, (got,))
    return None


def _from_catalogue(entry: Entry, folder: Path, progress: Progress, say: Notice) -> Delivery:
    """The first source that delivers."""
    reasons = []
    for source in entry.sources:
        say(f"fetching {entry.name} ({entry.n_bytes / 1e6:.1f} MB, {entry.licence}) from {source.label}")
        try:
            return Delivery(source.label, entry.licence, (source.fetch(entry.want, folder, progress),))
        except NetworkError as error:
            reasons.append(f"{source.label}: {error}")
            say(reasons[-1])
    raise _unfetched(entry.name, reasons)


def _from_hub(ref: HubRef, progress: Progress, say: Notice) -> Delivery:
    from zeropoint.catalogue.sources import hub

    try:
        selection = hub.select(ref)
        first, *more = selection.choice.files
        shards = f" and {len(more)} more shards" if more else ""
        say(f"taking {first.file}{shards} of {ref.repo} at commit {selection.commit[:12]}")
        return Delivery(hub.label(ref.repo), selection.licence, tuple(hub.download(selection, progress)))
    except NetworkError as error:
        raise _unfetched(str(ref), [f"{hub.label(ref.repo)}: {error}"]) from None


def _from_url(ref: UrlRef, folder: Path, progress: Progress) -> Delivery:
    source, want = source_of(ref)
    try:
        return Delivery(source.label, None, (source.fetch(want, folder, progress),))
    except NetworkError as error:
        raise _unfetched("the model", [f"{source.label}: {error}"]) from None


def _unfetched(name: str, reasons: list[str]) -> NetworkError:
    return NetworkError(
        f"could not fetch {name}: {'; '.join(reasons)}; check the network and proxy settings and try again,"
        " or give --model a file that is on this disk"
    )
