"""What can be said of a model before any download: size, licence, source, and its header or its numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zeropoint.catalogue import cache, file_selection, model_refs, source_chain
from zeropoint.catalogue.catalog import Entry
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, HubRef, StoreRef, UrlRef
from zeropoint.catalogue.source import Head
from zeropoint.errors import BadInput, BadModelFile, NetworkError
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["ModelInfo", "lookup"]

_HEADS_BYTES = tuple(n << 20 for n in (1, 4, 16, 32))  # a vocabulary of 256k tokens ends before 16 MiB
T = TypeVar("T")


@frozen
class ModelInfo:
    """A model that one could load. `path` is set if it is on this disk already.

    file_bytes: all its files; first_bytes: the file that `head` reads. `entry` has the numbers of a
    catalogue model; `head` is None only for one that is not on this disk.
    """

    name: str
    source: str
    file_bytes: int
    first_bytes: int
    format: str | None = None
    licence: str | None = None
    revision: str | None = None
    path: Path | None = None
    entry: Entry | None = None
    head: Head | None = None

    def header(self, parse: Callable[[bytes, int], T]) -> T | None:
        """`parse(first bytes, file size)` with as few bytes as it is content with: 1 to 32 MiB.

        None if only `entry` is known. Raises: BadModelFile as `parse` does; NetworkError, DiskError.
        """
        if self.head is None:
            return None
        for n_bytes in _HEADS_BYTES:
            head = self.head(n_bytes)
            try:
                return parse(head, self.first_bytes)
            except BadModelFile as error:
                # only a header that is cut short says how much more it wants; any other is bad for good
                required_bytes = getattr(error, "required_bytes", None)
                is_hopeless = required_bytes is None or required_bytes > _HEADS_BYTES[-1]
                if is_hopeless or len(head) < n_bytes or n_bytes == _HEADS_BYTES[-1]:
                    raise
        return None


def lookup(name: str, *, settings: Settings | None = None, offline: bool = False) -> ModelInfo:
    """Find out about a model without downloading it: at most 32 MiB of its header are read.

    Raises: BadInput, NetworkError.
    """
    ref = model_refs.parse(name)
    if isinstance(ref, FileRef | StoreRef):
        path = source_chain.local_path(ref)
        if path.is_dir():
            raise BadInput(f"{path} is a training run; make a file of it: zeropoint export {path} --gguf")
        shown = name if isinstance(ref, StoreRef) else path.stem
        return _on_disk(ModelInfo(shown, "this disk", 0, 0, file_selection.format_of(path.name)), (path,))
    settings = settings or Settings.read()
    record = cache.load(cache.folder_of(settings, ref.key))
    entry = ref.entry if isinstance(ref, CatalogueRef) else None
    if record is not None and all(path.is_file() for path in record.paths):
        tag = file_selection.format_of(record.paths[0].name)
        here = ModelInfo(ref.shown, record.source, 0, 0, tag, record.licence, record.revision, None, entry)
        return _on_disk(here, record.paths)
    if isinstance(ref, CatalogueRef):
        entry = ref.entry
        label = entry.sources[0].label
        return ModelInfo(
            entry.name, label, entry.n_bytes, entry.n_bytes, entry.format, entry.licence, entry=entry
        )
    if source_chain.is_offline(settings, offline):
        raise NetworkError(f"{ref.key} is not on this disk and offline mode is on; unset ZEROPOINT_OFFLINE")
    return _at_hub(ref) if isinstance(ref, HubRef) else _at_url(ref)


def _on_disk(prospect: ModelInfo, paths: tuple[Path, ...]) -> ModelInfo:
    def head(n_bytes: int) -> bytes:
        try:
            with paths[0].open("rb") as file:
                return file.read(n_bytes)
        except OSError as error:
            raise BadInput(f"cannot read {paths[0]} ({error.strerror}); check its permissions") from None

    try:
        sizes = [path.stat().st_size for path in paths]
    except OSError as error:
        raise BadInput(f"cannot read {paths[0]} ({error.strerror}); check its permissions") from None
    return dataclasses.replace(
        prospect, file_bytes=sum(sizes), first_bytes=sizes[0], path=paths[0], head=head
    )


def _at_hub(ref: HubRef) -> ModelInfo:
    from zeropoint.catalogue.sources import hub

    label = hub.label(ref.repo)
    try:
        selection = hub.select(ref)
    except NetworkError as error:
        raise NetworkError(f"cannot look up {ref}: {label}: {error}; check the network") from None
    choice = selection.choice
    first = choice.files[0].n_bytes
    if first is None or choice.n_bytes is None:
        raise NetworkError(f"cannot look up {ref}: the hub does not say how large {choice.files[0].file} is")

    def head(n_bytes: int) -> bytes:
        return hub.read_head(selection, n_bytes)

    return ModelInfo(
        name=str(ref),
        source=f"{label}, {choice.files[0].file}",
        file_bytes=choice.n_bytes,
        first_bytes=first,
        format=choice.format,
        licence=selection.licence,
        revision=selection.commit,
        head=head,
    )


def _at_url(ref: UrlRef) -> ModelInfo:
    from zeropoint.catalogue.download import http_client

    source, want = source_chain.source_of(ref)
    try:
        n_bytes = http_client.size_of(ref.url)
    except NetworkError as error:
        raise NetworkError(f"cannot look up {ref.url}: {error}; check the address and the network") from None
    if n_bytes is None:
        raise NetworkError(f"cannot look up {ref.url}: the server does not say how large the file is")

    def head(n: int) -> bytes:
        return http_client.read_head(ref.url, {}, n)[0]

    tag = file_selection.format_of(want.file)
    return ModelInfo(want.file.removesuffix(".gguf"), source.label, n_bytes, n_bytes, tag, head=head)
