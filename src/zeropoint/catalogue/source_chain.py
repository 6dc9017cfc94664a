"""Get the files of a model reference: from this disk, the catalogue's sources in order, the hub or a URL."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from zeropoint.catalogue import file_selection, local_names, model_refs
from zeropoint.catalogue.catalog import CatalogEntry
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, Progress
from zeropoint.catalogue.hub_ref import HubRef
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, Remote, StoreRef, UrlRef
from zeropoint.catalogue.source import DownloadSource, FetchedFile, FileRequest
from zeropoint.catalogue.sources.hub_quant import HubQuantSource
from zeropoint.errors import BadInput, DiskError, NetworkError, choices
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["FetchedModel", "fetch_files", "find_local", "hub_refs", "is_offline", "local_path", "url_source"]


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
            with contextlib.suppress(NetworkError):  # a damaged file
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
            raise BadInput(_missing(path))
        if path.is_dir() and not any(
            (folder / local_names.RUN_FILE).is_file() for folder in (path, *path.parents)
        ):
            return _in_folder(path)
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}); check its name and permissions") from None
    return path


def _in_folder(folder: Path) -> Path:
    """The only GGUF model in a folder, or the folder itself if it is one of Hugging Face. Raises BadInput."""
    listed = [file_selection.ListedFile(path.name) for path in sorted(folder.glob("*.gguf"))]
    models = file_selection.group_files(listed)
    if len(models) == 1:
        return folder / models[0].files[0].file
    if (folder / "config.json").is_file():
        return folder
    if not models:
        raise BadInput(
            f"the folder {folder} has no model: no .gguf file, no config.json and no training run; give the "
            "path of a model"
        )
    names = ", ".join(model.files[0].file for model in models)
    raise BadInput(f"the folder {folder} has {len(models)} models; name one file: {names}")


def _missing(path: Path) -> str:
    """The message for a path that does not exist: close runs, or how to name a repository instead."""
    parts = path.parts
    if parts[:1] == (str(local_names.RUNS),) and len(parts) > 1:
        known = local_names.known_runs()
        if parts[1] not in known and known:
            return f"there is no {path}: {choices('run', parts[1], known)}"
        return f"there is no {path}; train a model with `zeropoint train`, or check the name"
    kind = "file" if path.name.lower().endswith(local_names.FILE_ENDINGS) else "file or folder"
    message = f"there is no {kind} {path}; `zeropoint models list` shows the models with a name"
    could_be_repo = kind != "file" and len(parts) == 2 and not path.is_absolute() and ".." not in parts
    return f"{message}, and hf:{path} names a repository on Hugging Face" if could_be_repo else message


def url_source(ref: UrlRef) -> tuple[DownloadSource, FileRequest]:
    """The source of a URL, and a request whose file name stays inside the cache folder."""
    from zeropoint.catalogue.sources import url

    file = unquote(urlsplit(ref.url).path).rpartition("/")[2]
    return url.UrlSource(ref.url), FileRequest(
        file if model_refs.is_safe_file(file) and len(file) <= 128 else "model.gguf"
    )


def hub_refs(entry: CatalogEntry) -> list[HubRef]:
    """The repositories that describe an entry which is not pinned, in the order in which to ask."""
    return [
        HubRef(source.repo, source.quant) for source in entry.sources if isinstance(source, HubQuantSource)
    ]


def _find_entry(entry: CatalogEntry, folder: Path) -> FetchedModel | None:
    if entry.file is not None:
        with contextlib.suppress(NetworkError, DiskError):
            sha256 = download_files.verify(folder / entry.file, entry.request)
            return FetchedModel("this disk", entry.licence, (FetchedFile(folder / entry.file, sha256),))
    for source in entry.sources:
        if (cached := source.cached_files(entry.request)) is not None:
            return FetchedModel(source.label, entry.licence, cached)
    return None


def _from_catalogue(entry: CatalogEntry, folder: Path, progress: Progress, notice: Notice) -> FetchedModel:
    """Try each source in order; the first that succeeds wins."""
    reasons = []
    size = "" if entry.n_bytes is None else f"{entry.n_bytes / 1e6:.1f} MB, "
    for source in entry.sources:
        notice(f"fetching {entry.name} ({size}{entry.licence}) from {source.label}")
        try:
            files = source.fetch_files(entry.request, folder, progress)
            return FetchedModel(source.label, entry.licence, files)
        except NetworkError as error:
            reasons.append(f"{source.label}: {error}")
        except BadInput as error:  # the repository has no such file any more
            if entry.is_pinned:
                raise
            reasons.append(str(error))
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
        return FetchedModel(source.label, None, source.fetch_files(request, folder, progress))
    except NetworkError as error:
        raise _all_failed("the model", [f"{source.label}: {error}"]) from None


def _all_failed(name: str, reasons: list[str]) -> NetworkError:
    return NetworkError(
        f"could not fetch {name}: {'; '.join(reasons)}; check the network and proxy settings and try again,"
        " or use a file on this disk"
    )
