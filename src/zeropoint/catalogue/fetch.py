"""From a model's name to its file on this disk: the one downloader.

    names.parse -> cache (at once, offline too) -> the lock -> sources in order -> verified -> record

A source that fails gives its reason and the next is tried. Two processes that ask for the same model share
one download: the second waits, told for whom.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from zeropoint.catalogue import cache, model_refs, source_chain
from zeropoint.catalogue.cache import Record
from zeropoint.catalogue.catalog import Entry
from zeropoint.catalogue.download import download_files
from zeropoint.catalogue.download.progress import Notice, Progress, no_notice, no_progress
from zeropoint.catalogue.lookup import ModelInfo, lookup
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, Remote, StoreRef, UrlRef
from zeropoint.errors import BadInput, DiskError, NetworkError
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["ModelInfo", "ResolvedModel", "check", "lookup", "remove", "resolve"]


@frozen
class ResolvedModel:
    """A model on this disk: `path` is its (first) file; `name` never shows where that is.

    entry: its line in the catalogue, if it is one of them; revision: the commit or version it came from.
    """

    path: Path
    name: str
    entry: Entry | None = None
    revision: str | None = None


def resolve(
    name: str,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
    notice: Notice | None = None,
    offline: bool = False,
    fresh: bool = False,
) -> ResolvedModel:
    """The file that a model name stands for, fetched if it is not here yet.

    progress: told of the bytes as they come, perhaps from another thread; notice: one sentence at a time.
    fresh: ask the source again even if a file is here (the same name keeps its bytes until then).
    Raises: BadInput, NetworkError naming each source with its reason, DiskError.
    """
    ref = model_refs.parse(name)
    if isinstance(ref, FileRef | StoreRef):
        path = source_chain.local_path(ref)
        return ResolvedModel(path, name if isinstance(ref, StoreRef) else path.stem)
    settings = settings or Settings.read()
    folder = cache.folder_of(settings, ref.key)
    fresh = fresh and not isinstance(ref, CatalogueRef)  # a catalogue's sha256 is the same for ever
    record = None if fresh else cache.load(folder)
    if record is not None and cache.is_intact(record):
        return _resolved(ref, record)
    if source_chain.is_offline(settings, offline):
        return _resolved(ref, _found_offline(ref, folder))
    return _resolved(ref, _fetched(ref, folder, progress or no_progress, notice or no_notice, fresh))


def remove(name: str, *, settings: Settings | None = None, notice: Notice | None = None) -> int:
    """Remove a fetched model from this disk; returns the bytes freed. The hub library removes its own.

    Raises: BadInput if the name is a path, another program's model, or is not here; DiskError.
    """
    ref = model_refs.parse(name)
    if isinstance(ref, FileRef | StoreRef):
        raise BadInput(f"`{name}` was not fetched by zeropoint and is left alone; remove the file yourself")
    settings = settings or Settings.read()
    folder = cache.folder_of(settings, ref.key)
    if not folder.is_dir():
        raise BadInput(f"{ref.key} is not on this disk; `zeropoint models list` shows what is")
    say = notice or no_notice
    with cache.hold(folder, f"{ref.key} is being fetched", say):
        record = cache.load(folder)
        freed = cache.remove(folder)
        if record is not None and record.repo and record.revision and not _is_shared(record, settings):
            from zeropoint.catalogue.sources import hub

            freed += hub.remove(record.repo, record.revision, [str(path) for path in record.paths])
        if record is not None and record.paths[0].exists():
            say(f"{record.paths[0].name} stays in the hub's cache, where its commit is used by others too")
    return freed


def check(name: str, *, settings: Settings | None = None) -> None:
    """Read a fetched model's files whole and compare their sha256 with what was verified at the download.

    Raises: BadInput if it is not here or was not fetched by us; DiskError if a file is not what it was.
    """
    ref = model_refs.parse(name)
    record = None
    if not isinstance(ref, FileRef | StoreRef):
        record = cache.load(cache.folder_of(settings or Settings.read(), ref.key))
    if record is None:
        raise BadInput(f"`{name}` was not fetched by zeropoint, so there is no sha256 to compare it with")
    if not cache.check(record):
        raise DiskError(
            f"{record.paths[0]} is damaged or gone; `zeropoint models remove {name}` and pull it again"
        )


def _fetched(ref: Remote, folder: Path, progress: Progress, say: Notice, fresh: bool) -> Record:
    download_files.create_folder(folder)
    with cache.hold(folder, f"{ref.key} is being fetched", say):
        download_files.create_folder(folder)  # whoever held the lock may have removed the model
        download_files.remove_stale(folder)
        record = None if fresh else cache.load(folder)
        if record is not None:
            if cache.is_intact(record):  # whoever held the lock has fetched it
                return record
            say(f"the file of {ref.key} on this disk is missing or damaged; fetching it again")
        here = None if fresh or isinstance(ref, UrlRef) else source_chain.already_here(ref, folder)
        record = _record(ref, folder, here or source_chain.deliver(ref, folder, progress, say))
        cache.save(record)
        download_files.remove_stale(
            folder
        )  # what was still being written by a child of a killed process above
        return record


def _found_offline(ref: Remote, folder: Path) -> Record:
    here = source_chain.already_here(ref, folder)
    if here is None:
        raise NetworkError(
            f"{ref.key} is not on this disk and offline mode is on; unset ZEROPOINT_OFFLINE and"
            " HF_HUB_OFFLINE, or name a model that `zeropoint models list` shows"
        )
    record = _record(ref, folder, here)
    with contextlib.suppress(DiskError):  # it only spares the next start a look
        download_files.create_folder(folder)
        cache.save(record)
    return record


def _record(ref: Remote, folder: Path, delivery: source_chain.Delivery) -> Record:
    return cache.record_of(folder, ref.key, delivery.source, delivery.licence, delivery.files)


def _resolved(ref: Remote, record: Record) -> ResolvedModel:
    entry = ref.entry if isinstance(ref, CatalogueRef) else None
    return ResolvedModel(record.paths[0], ref.shown, entry, record.revision)


def _is_shared(record: Record, settings: Settings) -> bool:
    return any(
        (other.repo, other.revision) == (record.repo, record.revision) for other in cache.records(settings)
    )
