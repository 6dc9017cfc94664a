"""Resolve a model name to its file on this disk, downloading it if necessary.

    model_refs.parse -> cache (no network) -> lock -> sources in order -> verify -> record

If a source fails, report its reason and try the next. Two processes that need the same model share one
download: the second waits, with a notice that names the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from zeropoint.catalogue import cache, licences, local_names, model_refs, source_chain
from zeropoint.catalogue.cache import Record
from zeropoint.catalogue.catalog import CatalogEntry
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, Progress, no_notice, no_progress
from zeropoint.catalogue.licences import AskLicence
from zeropoint.catalogue.lookup import ModelInfo, lookup, lookup_remote
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, Remote, StoreRef, UrlRef
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["ModelInfo", "ResolvedModel", "lookup", "remove", "resolve", "verify"]


@frozen
class ResolvedModel:
    """A model on this disk: `path` is its first file, `name` its display name.

    entry: its catalogue entry, if it has one. revision: the commit or version it was downloaded at.
    """

    path: Path
    name: str
    entry: CatalogEntry | None = None
    revision: str | None = None


def resolve(
    name: str,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
    offline: bool = False,
    refresh: bool = False,
    check: Callable[[ModelInfo], None] | None = None,
    ask_licence: AskLicence | None = None,
) -> ResolvedModel:
    """The file of a model name, downloaded if it is not on this disk yet.

    progress: called as bytes arrive, possibly from another thread. notice: called with one sentence at a
    time. refresh: query the source even if a file is on disk; without it, a name keeps its content.
    check: called before a model that is not in the catalogue is downloaded; it may raise to refuse that.
    ask_licence: called if the user has not accepted the model's licence yet; without it, that is an error.
    Raises BadInput, NetworkError naming each source with its reason, DiskError.
    """
    ref = model_refs.parse(name)
    if isinstance(ref, FileRef | StoreRef):
        path = source_chain.local_path(ref)
        return ResolvedModel(path, name if isinstance(ref, StoreRef) else local_names.title(path))
    settings = settings or Settings.read()
    folder = cache.folder_of(settings, ref.key)
    refresh = refresh and not _is_pinned(ref)
    record = None if refresh else cache.load(folder)
    if record is not None and cache.is_intact(record):
        return _resolved(ref, record)
    if source_chain.is_offline(settings, offline):
        return _resolved(ref, _find_offline(ref, folder))
    if isinstance(ref, CatalogueRef):
        licences.require(ref.entry.licence, ref.key, settings, ask_licence)
    return _resolved(ref, _fetch(ref, folder, progress or no_progress, notice or no_notice, refresh, check))


def remove(name: str, *, settings: Settings | None = None, notice: Notice | None = None) -> int:
    """Remove a downloaded model from this disk and return the bytes freed.

    Files in the Hugging Face cache are removed by that library, and only if no other model uses them.
    Raises BadInput if the model is a path, belongs to another program or is not on this disk; DiskError.
    """
    ref = model_refs.parse(name)
    if isinstance(ref, FileRef | StoreRef):
        raise BadInput(f"`{name}` was not downloaded by zeropoint; remove the file yourself")
    settings = settings or Settings.read()
    folder = cache.folder_of(settings, ref.key)
    if not folder.is_dir():
        raise BadInput(f"{ref.key} is not on this disk; `zeropoint models list` shows the models that are")
    notice = notice or no_notice
    with cache.hold(folder, f"{ref.key} is being fetched", notice):
        record = cache.load(folder)
        freed_bytes = cache.remove(folder)
        if record is not None and record.repo and record.revision and not _is_shared(record, settings):
            from zeropoint.catalogue.sources import hub

            freed_bytes += hub.remove(record.repo, record.revision, [str(path) for path in record.paths])
        if record is not None and record.paths[0].exists():
            notice(f"{record.paths[0].name} stays in the Hugging Face cache; other models use its commit")
    return freed_bytes


def verify(name: str, *, settings: Settings | None = None) -> None:
    """Compare the SHA-256 of a downloaded model's files with those verified at the download.

    Raises BadInput if the model is not on this disk or was not downloaded by zeropoint; DiskError if a file
    differs.
    """
    ref = model_refs.parse(name)
    record = None
    if not isinstance(ref, FileRef | StoreRef):
        record = cache.load(cache.folder_of(settings or Settings.read(), ref.key))
    if record is None:
        raise BadInput(f"`{name}` was not downloaded by zeropoint, so there is no sha256 to compare with")
    if not cache.verify(record):
        raise DiskError(
            f"{record.paths[0]} is damaged or missing; run `zeropoint models remove {name}` and pull it again"
        )


def _fetch(
    ref: Remote,
    folder: Path,
    progress: Progress,
    notice: Notice,
    refresh: bool,
    check: Callable[[ModelInfo], None] | None,
) -> Record:
    download_files.create_folder(folder)
    with cache.hold(folder, f"{ref.key} is being fetched", notice):
        download_files.create_folder(folder)  # the previous holder may have removed the model
        download_files.remove_stale(folder)
        record = None if refresh else cache.load(folder)
        if record is not None:
            if cache.is_intact(record):  # the previous holder fetched it
                return record
            notice(f"the file of {ref.key} on this disk is missing or damaged; fetching it again")
        local = None if refresh or isinstance(ref, UrlRef) else source_chain.find_local(ref, folder)
        if local is None and check is not None and not _is_pinned(ref):
            with contextlib.suppress(NetworkError):  # the download reports it, if it fails too
                check(lookup_remote(ref))
        record = _record(ref, folder, local or source_chain.fetch_files(ref, folder, progress, notice))
        cache.save(record)
        # again: a child of a killed process may have been writing when the first call removed its files
        download_files.remove_stale(folder)
        download_files.remove_partial(folder)
        return record


def _is_pinned(ref: Remote) -> bool:
    """Whether the catalogue says which bytes the model has: then they never change."""
    return isinstance(ref, CatalogueRef) and ref.entry.is_pinned


def _find_offline(ref: Remote, folder: Path) -> Record:
    local = source_chain.find_local(ref, folder)
    if local is None:
        raise NetworkError(
            f"{ref.key} is not on this disk and offline mode is on; unset ZEROPOINT_OFFLINE and"
            " HF_HUB_OFFLINE, or choose a model that `zeropoint models list` shows"
        )
    record = _record(ref, folder, local)
    with contextlib.suppress(DiskError):  # the record only saves the next call this search
        download_files.create_folder(folder)
        cache.save(record)
    return record


def _record(ref: Remote, folder: Path, model: source_chain.FetchedModel) -> Record:
    return cache.make_record(folder, ref.key, model.source, model.licence, model.files)


def _resolved(ref: Remote, record: Record) -> ResolvedModel:
    entry = ref.entry if isinstance(ref, CatalogueRef) else None
    return ResolvedModel(record.paths[0], ref.display_name, entry, record.revision)


def _is_shared(record: Record, settings: Settings) -> bool:
    return any(
        (other.repo, other.revision) == (record.repo, record.revision) for other in cache.records(settings)
    )
