"""Describe a model without downloading it: size, licence, source, and its GGUF header or catalogue entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zeropoint.catalogue import cache, file_selection, local_names, model_refs, source_chain
from zeropoint.catalogue.catalog import CatalogEntry
from zeropoint.catalogue.hub_ref import HubRef
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, Remote, StoreRef, UrlRef
from zeropoint.catalogue.source import Head
from zeropoint.errors import BadInput, BadModelFile, NetworkError
from zeropoint.files.regular_file import open_regular
from zeropoint.frozen import frozen
from zeropoint.settings import Settings

__all__ = ["ModelInfo", "lookup", "lookup_remote"]

_HEAD_SIZES_BYTES = tuple(n << 20 for n in (1, 4, 16, 32))  # a vocabulary of 256k tokens fits in 16 MiB
T = TypeVar("T")


@frozen
class ModelInfo:
    """A model that could be loaded. `path` is set if it is on this disk already.

    file_bytes: size of all files; 0 for a folder (a training run or one of Hugging Face). first_bytes: size
    of the first file, which `head` reads. A catalogue model that is not on this disk has no `head`; its
    `entry` has the sizes instead.
    """

    name: str
    source: str
    file_bytes: int
    first_bytes: int
    format: str | None = None
    licence: str | None = None
    revision: str | None = None
    path: Path | None = None
    entry: CatalogEntry | None = None
    head: Head | None = None

    def header(self, parse: Callable[[bytes, int], T]) -> T | None:
        """Call `parse(first bytes, file size)` with as few bytes as it needs, 1 to 32 MiB.

        None if there is no `head`. Raises BadModelFile as `parse` does, NetworkError, DiskError.
        """
        if self.head is None:
            return None
        for n_bytes in _HEAD_SIZES_BYTES:
            head = self.head(n_bytes)
            try:
                return parse(head, self.first_bytes)
            except BadModelFile as error:
                # a truncated header reports how many bytes it needs; any other error is final
                required_bytes = getattr(error, "required_bytes", None)
                is_final = required_bytes is None or required_bytes > _HEAD_SIZES_BYTES[-1]
                if is_final or len(head) < n_bytes or n_bytes == _HEAD_SIZES_BYTES[-1]:
                    raise
        return None


def lookup(name: str, *, settings: Settings | None = None, offline: bool = False) -> ModelInfo:
    """Describe a model; download at most its first 32 MiB. Raises BadInput, NetworkError."""
    ref = model_refs.parse(name)
    if isinstance(ref, FileRef | StoreRef):
        path = source_chain.local_path(ref)
        display_name = name if isinstance(ref, StoreRef) else local_names.title(path)
        info = ModelInfo(display_name, "this disk", 0, 0, file_selection.format_of(path.name), path=path)
        return info if path.is_dir() else _on_disk(info, (path,))
    settings = settings or Settings.read()
    record = cache.load(cache.folder_of(settings, ref.key))
    entry = ref.entry if isinstance(ref, CatalogueRef) else None
    if record is not None and all(path.is_file() for path in record.paths):
        info = ModelInfo(
            name=ref.display_name,
            source=record.source,
            file_bytes=0,
            first_bytes=0,
            format=file_selection.format_of(record.paths[0].name),
            licence=record.licence,
            revision=record.revision,
            entry=entry,
        )
        return _on_disk(info, record.paths)
    if isinstance(ref, CatalogueRef) and (n_bytes := ref.entry.n_bytes) is not None:
        entry = ref.entry
        label = entry.sources[0].label
        return ModelInfo(entry.name, label, n_bytes, n_bytes, entry.format, entry.licence, entry=entry)
    if source_chain.is_offline(settings, offline):
        raise NetworkError(f"{ref.key} is not on this disk and offline mode is on; unset ZEROPOINT_OFFLINE")
    return lookup_remote(ref)


def lookup_remote(ref: Remote) -> ModelInfo:
    """Describe a model of a hub or a URL as it is there now. Raises BadInput, NetworkError."""
    if not isinstance(ref, CatalogueRef):
        return _at_hub(ref) if isinstance(ref, HubRef) else _at_url(ref)
    reasons = []
    for hub_ref in source_chain.hub_refs(ref.entry):
        try:
            info = _at_hub(hub_ref)
        except (BadInput, NetworkError) as error:
            reasons.append(str(error))
        else:
            return dataclasses.replace(info, name=ref.key, licence=ref.entry.licence, entry=ref.entry)
    raise NetworkError(f"cannot look up {ref.key}: {'; '.join(reasons)}")


def _on_disk(info: ModelInfo, paths: tuple[Path, ...]) -> ModelInfo:
    def head(n_bytes: int) -> bytes:
        try:
            with open_regular(paths[0]) as file:
                return file.read(n_bytes)
        except OSError as error:
            raise BadInput(f"cannot read {paths[0]} ({error.strerror}); check its permissions") from None

    try:
        sizes = [path.stat().st_size for path in paths]
    except OSError as error:
        raise BadInput(f"cannot read {paths[0]} ({error.strerror}); check its permissions") from None
    return dataclasses.replace(info, file_bytes=sum(sizes), first_bytes=sizes[0], path=paths[0], head=head)


def _at_hub(ref: HubRef) -> ModelInfo:
    from zeropoint.catalogue.sources import hub

    label = hub.source_label(ref.repo)
    try:
        selection = hub.select(ref)
    except NetworkError as error:
        raise NetworkError(f"cannot look up {ref}: {label}: {error}; check the network") from None
    model = selection.model
    first_bytes = model.files[0].n_bytes
    if first_bytes is None or model.n_bytes is None:
        raise NetworkError(f"cannot look up {ref}: the hub does not report the size of {model.files[0].file}")

    def head(n_bytes: int) -> bytes:
        return hub.read_head(selection, n_bytes)

    return ModelInfo(
        name=str(ref),
        source=f"{label}, {model.files[0].file}",
        file_bytes=model.n_bytes,
        first_bytes=first_bytes,
        format=model.format,
        licence=selection.licence,
        revision=selection.commit,
        head=head,
    )


def _at_url(ref: UrlRef) -> ModelInfo:
    from zeropoint.catalogue.download import http_client

    source, request = source_chain.url_source(ref)
    try:
        n_bytes = http_client.content_length(ref.url)
    except NetworkError as error:
        raise NetworkError(f"cannot look up {ref.url}: {error}; check the address and the network") from None
    if n_bytes is None:
        raise NetworkError(f"cannot look up {ref.url}: the server does not report the size of the file")

    def head(n: int) -> bytes:
        return http_client.read_head(ref.url, {}, n)[0]

    tag = file_selection.format_of(request.file)
    return ModelInfo(request.file.removesuffix(".gguf"), source.label, n_bytes, n_bytes, tag, head=head)
